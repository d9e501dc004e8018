"""The list: its paging, its filters and its rows."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local import listing
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.store import COMPLETED, PROCESSING, QUEUED, STATUSES, Store
from tests.local.http import Http

BASE = "http://host:1"
REQUEST = TranscriptRequest().to_json()


@contextmanager
def stored(statuses: list[str]) -> Iterator[tuple[Store, list[str]]]:
    """A store with one transcript of each status, and their ids, oldest first."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "db")
        ids = [str(uuid.uuid4()) for _ in statuses]
        for transcript_id, status in zip(ids, statuses, strict=True):
            store.insert(transcript_id, status, "http://a/b", REQUEST)
        try:
            yield store, ids
        finally:
            store.close()


def cursor(url: str | None, name: str) -> str | None:
    return parse_qs(urlsplit(url).query)[name][0] if url else None


def walk(page: Callable[..., dict[str, Any]], *, towards: str, **query: str) -> list[list[str]]:
    """The ids on each page, until the link in one direction is null."""
    name, link = {"older": ("before_id", "prev_url"), "newer": ("after_id", "next_url")}[towards]
    pages = []
    while True:
        body = page(**query)
        ids = [row["id"] for row in body["transcripts"]]
        assert body["page_details"]["result_count"] == len(ids)
        pages.append(ids)
        following = cursor(body["page_details"][link], name)
        if following is None:
            return pages
        assert len(pages) < 100, "the pages run in a circle"
        query[name] = following


@given(
    statuses=st.lists(st.sampled_from(STATUSES), max_size=25),
    limit=st.integers(1, 30),
    wanted=st.none() | st.sampled_from(STATUSES),
)
def test_every_transcript_is_on_one_page(statuses: list[str], limit: int, wanted: str | None) -> None:
    with stored(statuses) as (store, ids):
        expected = [one for one, status in zip(ids, statuses, strict=True) if wanted in (None, status)][::-1]
        filters = {"limit": str(limit), **({"status": wanted} if wanted else {})}

        def page(**query: str) -> dict[str, Any]:
            return listing.page(store, query, BASE)

        pages = walk(page, towards="older", **filters)
        assert [one for rows in pages for one in rows] == expected
        assert all(len(rows) == limit for rows in pages[:-1])
        if expected:
            # And back again from the oldest, with each page newest first.
            back = walk(page, towards="newer", **filters, after_id=expected[-1])
            assert [one for rows in reversed(back) for one in rows] == expected[:-1]


def test_links_point_the_documented_way() -> None:
    with stored([COMPLETED] * 5) as (store, ids):
        query = {"limit": "2", "status": "completed", "before_id": ids[4]}
        body = listing.page(store, query, BASE)
        assert body["page_details"] == {
            "limit": 2,
            "result_count": 2,
            "current_url": f"{BASE}/v2/transcript?limit=2&status=completed&before_id={ids[4]}",
            "prev_url": f"{BASE}/v2/transcript?limit=2&status=completed&before_id={ids[2]}",
            "next_url": f"{BASE}/v2/transcript?limit=2&status=completed&after_id={ids[3]}",
        }


def test_new_transcripts_do_not_disturb_a_walk() -> None:
    with stored([COMPLETED] * 4) as (store, ids):
        first = listing.page(store, {"limit": "2"}, BASE)
        store.insert("new", QUEUED, "http://a/b", REQUEST)
        before = cursor(first["page_details"]["prev_url"], "before_id")
        second = listing.page(store, {"limit": "2", "before_id": str(before)}, BASE)
        assert [row["id"] for row in second["transcripts"]] == [ids[1], ids[0]]


def test_day(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    for number, created in enumerate(
        (
            "2026-06-09T23:59:59.999999Z",
            "2026-06-10T00:00:00.000000Z",
            "2026-06-10T23:59:59.999999Z",
            "2026-06-11T00:00",
        )
    ):
        store.insert(str(number), COMPLETED, "http://a/b", REQUEST)
        with sqlite3.connect(tmp_path / "db") as connection:
            connection.execute("UPDATE transcripts SET created = ? WHERE id = ?", (created, str(number)))
        connection.close()
    body = listing.page(store, {"created_on": "2026-06-10"}, BASE)
    assert [row["id"] for row in body["transcripts"]] == ["2", "1"]
    store.close()


def test_throttled_is_queued() -> None:
    with stored([QUEUED, PROCESSING]) as (store, ids):
        body = listing.page(store, {"throttled_only": "true", "status": "processing"}, BASE)
        assert [row["id"] for row in body["transcripts"]] == [ids[0]]
        assert listing.page(store, {"throttled_only": "false"}, BASE)["page_details"]["result_count"] == 2


class TestOverHttp:
    def test_rows(self, http: Http) -> None:
        failed, done = http.heard(error="broken"), http.heard()
        waiting = http.say(process_s=3)
        rows = {row["id"]: row for row in http.json("/v2/transcript", limit=200)["transcripts"]}
        for row in rows.values():
            assert list(row) == ["id", "resource_url", "status", "created", "completed", "audio_url", "error"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["created"])
        assert rows[done["id"]]["error"] == ""
        assert rows[done["id"]]["completed"] > rows[done["id"]]["created"]
        assert rows[done["id"]]["resource_url"] == f"{http.server.url}/v2/transcript/{done['id']}"
        assert (rows[failed["id"]]["error"], rows[failed["id"]]["completed"]) == ("broken", None)
        assert (rows[waiting["id"]]["status"], rows[waiting["id"]]["completed"]) == ("processing", None)

    def test_ten_rows_unless_asked_for_more(self, http: Http) -> None:
        for _ in range(11):
            http.say()
        details = http.json("/v2/transcript")["page_details"]
        assert (details["limit"], details["result_count"]) == (10, 10)
        assert details["current_url"] == f"{http.server.url}/v2/transcript?limit=10"
        assert details["prev_url"]
        assert details["next_url"] is None

    @pytest.mark.parametrize(
        ("query", "named"),
        [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=ten", "limit"),
            ("limit=", "limit"),
            ("limit=1.0", "limit"),
            ("status=done", "status"),
            ("created_on=2026-13-01", "created_on"),
            ("created_on=20260101", "created_on"),
            ("created_on=yesterday", "created_on"),
            ("before_id=nonsense", "before_id"),
            ("after_id=00000000-0000-4000-8000-000000000000", "after_id"),
            ("throttled_only=1", "throttled_only"),
            ("model_config=x", "model_config"),
        ],
    )
    def test_what_is_no_query(self, http: Http, query: str, named: str) -> None:
        response = http.get(f"/v2/transcript?{query}")
        assert response.status_code == 400
        assert named in response.json()["error"]

    def test_both_cursors(self, http: Http) -> None:
        older, newer = http.say()["id"], http.say()["id"]
        response = http.get("/v2/transcript", after_id=older, before_id=newer)
        assert response.json() == {"error": "'after_id' must be a newer transcript than 'before_id'"}
        response = http.get("/v2/transcript", after_id=newer, before_id=older)
        assert (response.status_code, "together" in response.json()["error"]) == (400, True)
