"""What is deleted by itself, and the clock that lets tests wait for it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local.clock import Clock, parse
from airflow_asr.local.errors import ApiError
from airflow_asr.local.store import PROCESSING, Store
from airflow_asr.local.testing import LocalServer, scripted_audio
from tests.local.http import Http

HOUR = 3600
DAY = 24 * HOUR


def file_of(http: Http, audio_url: str) -> Path:
    return http.server.data_dir / "uploads" / audio_url.rpartition("/")[2]


@pytest.fixture
def http(serve: Callable[..., Http]) -> Http:
    """A server of its own: the clock of the shared one must not be moved."""
    return serve()


class TestTranscripts:
    def test_content_goes_after_thirty_days(self, http: Http) -> None:
        audio_url = http.upload(scripted_audio("secret"))
        transcript_id = http.wait(http.submit(audio_url)["id"])["id"]
        http.server.forward(30 * DAY - HOUR)
        young = http.heard("still there")["id"]
        assert http.transcript(transcript_id)["text"] == "secret"
        assert file_of(http, audio_url).exists()
        http.server.forward(HOUR)
        body = http.transcript(transcript_id)
        assert (body["status"], body["text"], body["words"]) == ("completed", "Deleted by user.", None)
        assert body["audio_url"] == "http://deleted_by_user"
        assert not file_of(http, audio_url).exists()
        assert http.get(f"/v2/transcript/{transcript_id}/srt").status_code == 400
        assert http.transcript(young)["text"] == "still there"
        rows = {row["id"]: row for row in http.json("/v2/transcript")["transcripts"]}
        assert rows[transcript_id]["audio_url"] == "http://deleted_by_user"
        assert rows[young]["audio_url"].startswith(http.server.url)

    def test_nothing_of_it_stays_on_the_disk(self, http: Http) -> None:
        http.heard("a peculiarly unmistakable sentence")
        http.server.forward(30 * DAY)
        http.server.stop()
        with sqlite3.connect(http.server.data_dir / "transcripts.sqlite3") as connection:
            assert connection.execute("SELECT count(*) FROM results").fetchone() == (0,)
        connection.close()
        assert list((http.server.data_dir / "uploads").iterdir()) == []

    def test_failure_keeps_its_reason(self, http: Http) -> None:
        transcript_id = http.heard(error="no")["id"]
        http.server.forward(31 * DAY)
        body = http.transcript(transcript_id)
        assert (body["status"], body["error"], body["audio_url"]) == ("error", "no", "http://deleted_by_user")

    def test_what_has_not_ended_is_left_alone(self, http: Http) -> None:
        transcript_id = http.say("late", process_s=0.5)["id"]
        http.server.forward(31 * DAY)
        assert http.wait(transcript_id)["text"] == "late"
        http.server.forward(0)
        assert http.transcript(transcript_id)["text"] == "Deleted by user."

    def test_list_ends_after_ninety_days(self, http: Http) -> None:
        old = http.heard()["id"]
        http.server.forward(89 * DAY)
        new = http.heard()["id"]
        assert [row["id"] for row in http.json("/v2/transcript")["transcripts"]] == [new, old]
        http.server.forward(DAY)
        page = http.json("/v2/transcript", limit=1)
        assert [row["id"] for row in page["transcripts"]] == [new]
        assert page["page_details"]["prev_url"] is None
        assert http.transcript(old)["status"] == "completed"

    def test_at_the_next_start(self, http: Http) -> None:
        transcript_id = http.heard()["id"]
        http.server.stop()
        clock = Clock(http.server.data_dir / "clock")
        clock.forward(31 * DAY)
        http.server.start()
        deadline = time.monotonic() + 30
        while http.transcript(transcript_id)["text"] != "Deleted by user.":
            assert time.monotonic() < deadline
            time.sleep(0.02)


class TestUploads:
    def test_untranscribed_goes_after_a_day(self, http: Http) -> None:
        early = http.upload(scripted_audio("early"))
        http.server.forward(DAY - 60)
        late = http.upload(scripted_audio("late"))
        assert file_of(http, early).exists()
        http.server.forward(60)
        assert not file_of(http, early).exists()
        assert http.failure(early) == f"Download error to {early}, 404 Client Error: Not Found"
        assert http.wait(http.submit(late)["id"])["text"] == "late"

    @pytest.mark.parametrize("query", ["", "?marker=7"])
    def test_transcribed_stays_as_long_as_its_transcript(self, http: Http, query: str) -> None:
        audio_url = http.upload(scripted_audio("kept"))
        http.wait(http.submit(audio_url + query)["id"])
        http.server.forward(20 * DAY)
        assert http.wait(http.submit(audio_url + query)["id"])["text"] == "kept"

    def test_over_a_restart(self, http: Http) -> None:
        audio_url = http.upload(scripted_audio())
        http.server.forward(DAY - 60)
        http.server.kill()
        http.server.start()
        assert file_of(http, audio_url).exists()
        http.server.forward(60)
        assert not file_of(http, audio_url).exists()

    def test_data_of_the_first_version(self, tmp_path: Path) -> None:
        path = tmp_path / "db"
        store = Store(path)
        store.add_upload("old", broken=True, expires="2000-01-01")
        store.insert("t", PROCESSING, "https://a.example/b.mp3", "{}")
        store.close()
        connection = sqlite3.connect(path)
        connection.executescript(
            "DROP TABLE deliveries; DROP INDEX uploads_by_expiry; ALTER TABLE uploads DROP COLUMN expires; "
            "PRAGMA user_version = 0;"
        )
        connection.close()
        for _ in range(2):
            store = Store(path)
            assert store.upload_is_broken("old")
            assert store.expired_uploads() == []
            assert [row.id for row in store.unfinished()] == ["t"]
            store.close()


class TestClock:
    def test_moves_what_the_server_writes(self, http: Http) -> None:
        before = http.heard()["id"]
        http.server.forward(7 * DAY)
        http.server.restart()
        http.heard()
        new, old = http.json("/v2/transcript")["transcripts"]
        assert old["id"] == before
        for name in ("created", "completed"):
            apart = datetime.fromisoformat(new[name]) - datetime.fromisoformat(old[name])
            assert timedelta(days=7) <= apart < timedelta(days=7, hours=1)
        assert http.json("/_clock")["now"] > new["completed"]

    def test_only_with_faults(self) -> None:
        with LocalServer(faults=False) as server, Http(server) as http:
            assert http.call("POST", "/_clock", json={"forward_s": 1}).status_code == 404
            with pytest.raises(ValueError, match="Not found"):
                server.forward(1)

    def test_never_too_far(self, http: Http) -> None:
        http.server.forward(49 * 365 * DAY)
        with pytest.raises(ValueError, match="cannot be moved more than"):
            http.server.forward(2 * 365 * DAY)
        with pytest.raises(ValueError, match="forward_s must be a number of seconds from 0"):
            http.server.forward(-1)
        http.heard()

    @pytest.mark.parametrize(
        "body",
        [
            *({"forward_s": value} for value in (10**400, float("nan"), float("inf"), -1e-9, True, "1", None)),
            *({}, [], None, {"forward_s": 1, "by": 2}),
        ],
    )
    def test_what_is_no_move(self, body: object) -> None:
        with pytest.raises(ApiError, match="forward_s"):
            parse(body)

    @given(st.lists(st.floats(0, 1e8), max_size=10))
    def test_never_goes_back(self, moves: list[float]) -> None:
        clock = Clock()
        seen = [clock.stamp()]
        for seconds in moves:
            clock.forward(seconds)
            seen.append(clock.stamp())
            assert clock.stamp(timedelta(days=30)) > seen[-1]
        assert seen == sorted(seen)

    def test_is_where_it_was_after_a_restart(self, tmp_path: Path) -> None:
        clock = Clock(tmp_path / "clock")
        clock.forward(1.5 * DAY)
        clock.forward(1.5 * DAY)
        assert Clock(tmp_path / "clock").now() - Clock().now() > timedelta(days=3) - timedelta(minutes=1)
