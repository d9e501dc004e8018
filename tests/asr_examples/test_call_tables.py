from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk.exceptions import AirflowNotFoundException
from asr_examples.call_analysis import failed_call
from asr_examples.call_recordings import Recording, recording
from asr_examples.call_tables import (
    COLUMNS,
    CallRow,
    CallRows,
    DoubtfulRow,
    PhraseRow,
    SpeakerRow,
    TurnRow,
    read_tables,
    sql_hook,
    write_calls,
)

from tests.e2e.postgres import PostgresServer

SAID = "It's “fine”; ok? 你好 %s"


def call(call_id: str = "a", turns: int = 2) -> CallRows:
    """A call with as many turns and passages, and one row less of the rest."""
    return CallRows(
        CallRow(
            call_id,
            file="süd 1.wav",
            audio="/c/süd 1.wav",
            transcript_id="t",
            status="completed",
            error=None,
            duration_s=30.1,
            talk_s=7.0,
            silence_s=23.1,
            overlap_s=0.0,
            turns=turns,
            words=9,
            confidence=0.957123456789,
            sentiment=None,
            language_code="en_us",
        ),
        speakers=[SpeakerRow(call_id, f"s{each}", 1.0, 0.5, 1, 3, -0.25) for each in range(1, turns)],
        turns=[TurnRow(call_id, each, "agent", 0, 10, 2, None, 0.1, SAID) for each in range(turns)],
        phrases=[PhraseRow(call_id, f"phrase {each}", 0.5, 1) for each in range(1, turns)],
        doubtful=[DoubtfulRow(call_id, each, "agent", 0, 10, 0.1, "Hm.") for each in range(turns)],
    )


def rows_of(table: str, calls: Sequence[CallRows]) -> list[dict[str, Any]]:
    found = [each.call for each in calls] if table == "calls" else [row for c in calls for row in getattr(c, table)]
    return [row._asdict() for row in found]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["file", "sqlite", "postgres"])
def hook(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DbApiHook:
    if request.param == "file":
        return sql_hook(None, f"{tmp_path}/a folder #1 %41?")
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "calls.db")}
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        connection = {"conn_type": "postgres", "host": str(server.directory), "login": "postgres", "schema": "postgres"}
    monkeypatch.setenv("AIRFLOW_CONN_CALLS", json.dumps(connection))
    hook = sql_hook("calls", "s3://calls@bucket/out")
    hook.run([f"DELETE FROM {table}" for table in COLUMNS])
    return hook


def test_what_is_written_can_be_read(hook: DbApiHook) -> None:
    failed = failed_call(Recording("z", "z.wav", "/c/z.wav"), "Transcoding failed.", "t9")
    calls = [call("a"), call("b", turns=4), failed]
    write_calls(hook, calls)
    assert read_tables(hook, ["b", "z", "a"]) == {table: rows_of(table, calls) for table in COLUMNS}


def test_writing_again_changes_nothing(hook: DbApiHook) -> None:
    for _ in range(2):
        write_calls(hook, [call("a"), call("b")])
    assert read_tables(hook, ["a", "b"]) == {table: rows_of(table, [call("a"), call("b")]) for table in COLUMNS}


def test_rows_that_a_call_no_longer_has_are_gone_and_other_calls_stay(hook: DbApiHook) -> None:
    write_calls(hook, [call("a", turns=5), call("b", turns=5)])
    write_calls(hook, [call("a", turns=1)])
    assert read_tables(hook, ["a", "b"]) == {
        table: rows_of(table, [call("a", turns=1), call("b", turns=5)]) for table in COLUMNS
    }


def test_only_the_calls_that_are_asked_for_are_read(hook: DbApiHook) -> None:
    write_calls(hook, [call("a"), call("b")])
    assert {row["call_id"] for rows in read_tables(hook, ["b"]).values() for row in rows} == {"b"}
    assert read_tables(hook, []) == {table: [] for table in COLUMNS}


def test_no_name_or_text_keeps_the_others_out(hook: DbApiHook) -> None:
    odd = recording("/c/caf\udce9.wav")
    write_calls(hook, [failed_call(odd, "a NUL: \0.", None), call("z")])
    rows = read_tables(hook, [odd.call_id, "z"])["calls"]
    assert [(row["file"], row["error"]) for row in rows] == [("caf?.wav", "a NUL: ."), ("süd 1.wav", None)]


def test_many_calls_fit_into_a_statement(hook: DbApiHook) -> None:
    calls = [call(f"{number:04}", turns=1) for number in range(1001)]
    write_calls(hook, calls)
    assert read_tables(hook, [each.call.call_id for each in calls])["calls"] == rows_of("calls", calls)


class TestHook:
    def test_without_a_connection_the_tables_are_in_a_file_of_the_output_folder(self, tmp_path: Path) -> None:
        write_calls(sql_hook(None, f"file://{tmp_path}/out"), [call()])
        with closing(sqlite3.connect(tmp_path / "out" / "calls.sqlite")) as connection:
            assert connection.execute("SELECT file, turns FROM calls").fetchall() == [("süd 1.wav", 2)]

    def test_there_is_no_file_in_object_storage(self) -> None:
        with pytest.raises(ValueError, match="Name an SQL Connection"):
            sql_hook(None, "s3://calls@bucket/out")

    def test_a_connection_of_another_kind_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps({"conn_type": "http", "host": "example.com"}))
        with pytest.raises(ValueError, match="'web' is not one to an SQL database: it has a HttpHook"):
            sql_hook("web", "/out")

    def test_a_missing_connection_says_so(self) -> None:
        with pytest.raises(AirflowNotFoundException, match="calls_typo"):
            sql_hook("calls_typo", "/out")
