from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import transcribe_calls
from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException
from asr_examples.call_tables import SQLITE_FILE

from airflow_asr.exceptions import AssemblyAIFailException

CHANNELS = {"1": "agent", "2": "customer"}


class TaskInstance:
    """Holds what mapped tasks handed over: key to values by index."""

    def __init__(self, **handed_over: dict[int, Any]) -> None:
        self.handed_over = handed_over
        self.pushed: dict[str, Any] = {}

    def xcom_pull(
        self, *, task_ids: str, key: str = "return_value", map_indexes: Iterable[int], default: Any = None
    ) -> list[Any]:
        assert task_ids == "transcribe"
        return [self.handed_over.get(key, {}).get(index, default) for index in map_indexes]

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The context of a run; tests add to it."""
    params = {"folder": str(tmp_path), "endings": [".wav"], "channels": CHANNELS, "output_path": f"{tmp_path}/out"}
    context = {"params": {**params, "sql_conn_id": None}, "ti": TaskInstance()}
    monkeypatch.setattr(transcribe_calls, "get_current_context", lambda: context)
    return context


def transcript(folder: Path, name: str) -> dict[str, Any]:
    """Write a transcript and return its summary."""
    words = [{"text": "Hello.", "start": 0, "end": 900, "confidence": 0.9, "speaker": "1", "channel": "1"}]
    raw = {"id": name, "status": "completed", "words": words, "audio_duration": 2, "audio_channels": 2}
    (folder / f"{name}.json").write_text(json.dumps(raw))
    return {"outputs": {"json": str(folder / f"{name}.json")}}


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "out" / SQLITE_FILE)) as connection:
        return connection.execute(query).fetchall()


class TestFind:
    def test_it_finds_the_recordings(self, run: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "a.wav").touch()
        assert transcribe_calls.find.function() == [f"{tmp_path}/a.wav"]

    def test_an_empty_folder_fails_at_once_and_says_so(self, run: dict[str, Any]) -> None:
        with pytest.raises(AirflowFailException, match=r"There is no recording in .*\.wav"):
            transcribe_calls.find.function()

    def test_tables_that_cannot_be_are_known_before_anything_is_paid_for(self, run: dict[str, Any]) -> None:
        run["params"]["output_path"] = "s3://calls@bucket/out"
        with pytest.raises(AirflowFailException, match="Name an SQL Connection"):
            transcribe_calls.find.function()


class TestFailure:
    def test_its_reason_and_transcript_are_kept(self) -> None:
        ti = TaskInstance()
        error = AssemblyAIFailException("No audio in it.", transcript_id="t1")
        transcribe_calls.keep_failure({"ti": ti, "exception": error})
        assert ti.pushed == {"failure": {"reason": "No audio in it.", "transcript_id": "t1"}}

    @pytest.mark.parametrize("error", [RuntimeError("x" * 100_000), None])
    def test_it_is_small_whatever_failed(self, error: Exception | None) -> None:
        ti = TaskInstance()
        transcribe_calls.keep_failure({"ti": ti, "exception": error})
        assert len(json.dumps(ti.pushed)) < 2000


class TestAnalyse:
    def test_failed_recordings_are_in_the_table_with_their_reason(self, run: dict[str, Any], tmp_path: Path) -> None:
        run["ti"] = TaskInstance(
            return_value={1: transcript(tmp_path, "t1")},
            failure={0: {"reason": "No audio in it.", "transcript_id": "t0"}},
        )
        done = transcribe_calls.analyse.function(["/c/bad.wav", "/c/good.wav", "/c/killed.wav"])
        assert len(done["calls"]) == 3
        assert [each.partition(": ")[0] for each in done["failed"]] == ["/c/bad.wav", "/c/killed.wav"]
        assert rows(tmp_path, "SELECT file, status, transcript_id FROM calls ORDER BY file") == [
            ("bad.wav", "failed", "t0"),
            ("good.wav", "completed", "t1"),
            ("killed.wav", "failed", None),
        ]
        assert rows(tmp_path, "SELECT error FROM calls WHERE file = 'bad.wav'") == [("No audio in it.",)]

    def test_it_works_when_every_recording_failed(self, run: dict[str, Any], tmp_path: Path) -> None:
        assert len(transcribe_calls.analyse.function(["/c/a.wav", "/d/a.wav"])["failed"]) == 2
        assert rows(tmp_path, "SELECT count(*) FROM calls") == [(2,)]

    def test_a_recording_that_succeeds_later_loses_its_failure(self, run: dict[str, Any], tmp_path: Path) -> None:
        transcribe_calls.analyse.function(["/c/a.wav"])
        run["ti"] = TaskInstance(return_value={0: transcript(tmp_path, "t1")})
        assert transcribe_calls.analyse.function(["/c/a.wav"])["failed"] == []
        assert rows(tmp_path, "SELECT status, error FROM calls") == [("completed", None)]


class TestComplete:
    def test_it_names_the_recordings_that_failed(self) -> None:
        with pytest.raises(AirflowFailException, match=r"1 of 2 recordings failed:\n/c/a.wav: No audio in it."):
            transcribe_calls.complete.function({"calls": ["a", "b"], "failed": ["/c/a.wav: No audio in it."]})

    def test_it_is_quiet_if_none_did(self) -> None:
        transcribe_calls.complete.function({"calls": ["a"], "failed": []})


class TestDag:
    @pytest.fixture
    def dag(self) -> DAG:
        return transcribe_calls.transcribe_calls()

    def test_one_failure_stops_neither_the_tables_nor_the_report(self, dag: DAG) -> None:
        assert dag.get_task("analyse").trigger_rule == "all_done_min_one_success"
        assert dag.get_task("analyse").upstream_task_ids == {"find", "transcribe"}
        assert dag.get_task("complete").upstream_task_ids == {"analyse", "report"}

    @pytest.mark.parametrize("folder", ["", "calls", "~/calls", "C:\\calls"])
    def test_the_form_takes_no_place_that_means_another_on_each_worker(self, folder: str) -> None:
        form = ParamsDict(transcribe_calls.FORM)
        form.update({"folder": "/calls", "output_path": "s3://conn@bucket/out"})
        form.validate()
        with pytest.raises(Exception, match="folder"):
            form.update({"folder": folder})
