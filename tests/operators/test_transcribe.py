"""One task from a recording to text, against the local server, in both modes."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.lineage import HookLineageCollector

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AudioUrlError, JobSearchError, OutputError, ServerError
from airflow_asr.exceptions import AssemblyAIFailException, AssemblyAIWaitTimeout
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.operators.assemblyai import (
    AssemblyAIDeleteTranscriptOperator,
    AssemblyAIFetchTranscriptOperator,
    AssemblyAITranscribeOperator,
)
from tests.operators.running import TaskInstance

KEY = "local-key-0123456789"
ALL_FORMATS = ("json", "txt", "srt", "vtt", "sentences", "paragraphs")


@pytest.fixture(scope="module")
def running() -> Iterator[LocalServer]:
    with LocalServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def server(running: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": running.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    monkeypatch.setattr("airflow_asr.api.retry.RetryPolicy.wait_s", lambda *_: None)
    monkeypatch.setattr("airflow_asr.jobs.schedule.PollSchedule.after", lambda *_: 0.05)
    yield running
    running.clear_faults()


@pytest.fixture
def task(server: LocalServer) -> Iterator[TaskInstance]:
    with AssemblyAIClient(KEY, base_url=server.url) as client:
        yield TaskInstance(client)


@pytest.fixture(params=[False, True], ids=["in a slot", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., str]:
    """Write a recording in which something is said, and return its path."""

    def write(text: str = "Hello there. How are you?", name: str = "call.wav", **script: Any) -> str:
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scripted_audio(text, **{"process_s": 0, **script}))
        return str(path)

    return write


@pytest.fixture
def submissions(server: LocalServer) -> Callable[[], int]:
    """Return how many jobs were submitted since the test began."""
    before = server.requests().get("POST /v2/transcript", 0)
    return lambda: server.requests().get("POST /v2/transcript", 0) - before


def transcribe(audio: str, **arguments: Any) -> AssemblyAITranscribeOperator:
    return AssemblyAITranscribeOperator(task_id="transcribe", audio=audio, **arguments)


def all_requests(server: LocalServer) -> int:
    return sum(count for name, count in server.requests().items() if "/v2/" in name)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Submissions whose end nobody saw, and other runs ---------------------------------------------------------------------


@pytest.mark.parametrize("reply", [{"action": "drop"}, {"action": "answer", "status": 502}], ids=["dropped", "502"])
def test_a_reply_that_is_lost_costs_nothing(
    server: LocalServer,
    task: TaskInstance,
    record: Callable[..., str],
    submissions: Callable[[], int],
    reply: dict[str, Any],
    deferrable: bool,
) -> None:
    server.faults({"method": "POST", "route": "/v2/transcript", "when": "after", **reply})
    assert task.run(transcribe(record("Not lost."), deferrable=deferrable))["text"] == "Not lost."
    assert submissions() == 1


def test_another_run_takes_over_the_job_that_is_under_way(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    operator = transcribe(record(process_s=0.5), output_path=str(tmp_path / "out"), deferrable=True)
    first = task.defer(operator).trigger.serialize()[1]["transcript_id"]
    again = TaskInstance(task.client, run_id="backfill")
    assert again.run(operator)["transcript_id"] == first
    assert submissions() == 1
    assert not list((tmp_path / "out" / "_asr" / "open").iterdir())
    # The first run, if it still lives, finds the outputs.
    assert task.run(operator)["transcript_id"] == first


def test_another_run_takes_over_a_job_whose_reply_was_lost(
    server: LocalServer,
    task: TaskInstance,
    record: Callable[..., str],
    submissions: Callable[[], int],
    tmp_path: Path,
) -> None:
    operator = transcribe(record(), output_path=str(tmp_path / "out"), deferrable=True)
    server.faults(
        {"method": "POST", "route": "/v2/transcript", "action": "drop", "when": "after"},
        {"method": "GET", "route": "/v2/transcript", "action": "answer", "status": 500},
    )
    with pytest.raises(JobSearchError):
        task.run(operator)
    assert TaskInstance(task.client, run_id="backfill").run(operator)["text"]
    assert submissions() == 1


def test_what_is_under_way_is_written_down_without_anything_that_grants_access(
    task: TaskInstance, record: Callable[..., str], tmp_path: Path
) -> None:
    task.defer(transcribe(record(), output_path=str(tmp_path / "out"), deferrable=True))
    written = [path.read_text() for path in (tmp_path / "out" / "_asr" / "open").iterdir()]
    assert len(written) == 2
    assert [text for text in written if KEY in text or "://" in text] == []


def test_a_record_that_nobody_can_read_stops_the_task_before_it_costs(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    operator = transcribe(record(), output_path=str(tmp_path / "out"), deferrable=True)
    task.defer(operator)
    for path in (tmp_path / "out" / "_asr" / "open").iterdir():
        path.write_text('{"v": 99}')
    with pytest.raises(OutputError, match=r"no record of this version.*delete it"):
        TaskInstance(task.client, run_id="backfill").run(operator)
    assert submissions() == 1


def test_the_log_of_a_failure_ends_with_what_became_of_audio_and_money(
    server: LocalServer,
    task: TaskInstance,
    record: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    audio = record()
    missing = str(tmp_path / "missing.wav")
    with pytest.raises(AssemblyAIFailException):
        task.run(transcribe(missing, deferrable=False))
    assert f"{missing}: this try submitted nothing." in caplog.text
    server.faults(
        {"method": "POST", "route": "/v2/transcript", "action": "answer", "status": 400, "body": {"error": "x"}}
    )
    with pytest.raises(AssemblyAIFailException):
        task.run(transcribe(audio, deferrable=False))
    assert f"{audio}: nothing is paid for." in caplog.text
    operator = transcribe(audio, deferrable=True)
    transcript_id = task.defer(operator).trigger.serialize()[1]["transcript_id"]
    server.faults({"method": "GET", "route": "/v2/transcript/{id}", "action": "answer", "status": 500})
    with pytest.raises(ServerError):
        task.run(operator)
    assert f"{audio}: transcript {transcript_id} was submitted. A retry goes on with it and pays nothing" in caplog.text
    failing = record(name="failing.wav", error="Internal server error")
    with pytest.raises(AssemblyAIFailException):
        TaskInstance(task.client).run(transcribe(failing, deferrable=False, max_resubmits=0))
    assert f"{failing}: nothing is paid for. Transcripts that failed, and are not charged: " in caplog.text


# The way that all is well --------------------------------------------------------------------------------------------


def test_a_recording_becomes_files_and_a_small_summary(
    task: TaskInstance, record: Callable[..., str], tmp_path: Path, deferrable: bool
) -> None:
    audio = record()
    summary = task.run(transcribe(audio, output_path=str(tmp_path / "out"), formats=ALL_FORMATS, deferrable=deferrable))
    assert (summary["status"], summary["word_count"]) == ("completed", 5)
    assert (summary["text"], summary["audio"]) == ("Hello there. How are you?", audio)
    assert set(summary["outputs"]) == set(ALL_FORMATS)
    files = {name: Path(uri.removeprefix("file://")) for name, uri in summary["outputs"].items()}
    whole = json.loads(files["json"].read_text())
    assert (whole["id"], len(whole["words"])) == (summary["transcript_id"], 5)
    assert files["txt"].read_text() == "Hello there. How are you?\n"
    assert "-->" in files["srt"].read_text()
    assert files["vtt"].read_text().startswith("WEBVTT")
    sentences = json.loads(files["sentences"].read_text())["sentences"]
    assert [each["text"] for each in sentences] == ["Hello there.", "How are you?"]
    assert json.loads(files["paragraphs"].read_text())["paragraphs"]
    assert bool(task.deferrals) is deferrable


def test_without_a_folder_the_text_is_in_the_summary_and_nothing_is_written(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], deferrable: bool
) -> None:
    operator = transcribe(record("Only this."), deferrable=deferrable)
    summary = task.run(operator)
    assert (summary["text"], summary["outputs"]) == ("Only this.", {})
    assert task.run(operator) == summary
    assert submissions() == 1


def test_the_trigger_gets_an_id_and_a_deadline_and_no_secret(task: TaskInstance, record: Callable[..., str]) -> None:
    task.run(transcribe(record(), deferrable=True, wait_timeout=600, first_poll_s=7, poll_interval_s=30))
    [arguments] = task.deferrals
    assert (arguments["first_poll_s"], arguments["poll_interval_s"]) == (7, 30)
    first_sent = next(value["first_submit_at"] for value in task.state.kept.values() if isinstance(value, dict))
    assert arguments["deadline"] == pytest.approx(first_sent + 600, abs=1)
    assert KEY not in json.dumps([arguments, task.state.kept])


def test_two_recordings_of_one_name_do_not_write_over_each_other(
    server: LocalServer, task: TaskInstance, record: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    texts = {}
    for name in ("monday/call.wav", "tuesday/call.wav", "monday/call.mp3"):
        one = TaskInstance(task.client)
        texts[name] = one.run(transcribe(record(f"This is {name}.", name), output_path=str(out), deferrable=False))
    written = {Path(summary["outputs"]["txt"].removeprefix("file://")).read_text() for summary in texts.values()}
    assert written == {f"This is {name}.\n" for name in texts}


@pytest.mark.parametrize(
    "name", ["with space.wav", "späte Aufnahme.wav", "录音 一.wav", "a#b?c%d&e.wav", "..wav", "...", "x" * 250 + ".wav"]
)
def test_any_file_name_gets_outputs_that_can_be_read_again(
    task: TaskInstance, record: Callable[..., str], tmp_path: Path, name: str
) -> None:
    from airflow.sdk import ObjectStoragePath

    summary = task.run(transcribe(record("Yes.", name), output_path=f"file://{tmp_path}/out put", deferrable=False))
    assert ObjectStoragePath(summary["outputs"]["txt"]).read_text() == "Yes.\n"
    assert all(len(Path(name).name.encode()) <= 255 for name in contents(tmp_path / "out put"))


def test_a_partitioned_run_has_a_folder_of_its_own(
    server: LocalServer, task: TaskInstance, record: Callable[..., str], tmp_path: Path
) -> None:
    task.partition_key = "2026-11-01T00:00:00"
    summary = task.run(transcribe(record(), output_path=str(tmp_path / "out"), deferrable=False))
    assert "/out/2026-11-01T00_00_00/call.wav." in summary["outputs"]["txt"]
    other = TaskInstance(task.client, partition_key="2026-11-02")
    summary = other.run(transcribe(record(), output_path=str(tmp_path / "2026-11-02" / "out"), deferrable=False))
    assert "/2026-11-02/out/call.wav." in summary["outputs"]["txt"]


def test_outlets_and_lineage_say_what_was_read_and_written(
    task: TaskInstance, record: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = HookLineageCollector()  # Airflow has one that does nothing, unless somebody reads lineage.
    monkeypatch.setattr("airflow.sdk.lineage.get_hook_lineage_collector", lambda: collector)
    asset = Asset(name="transcripts", uri="file:///transcripts")
    audio = record(name="späte Aufnahme.wav")
    summary = task.run(transcribe(audio, output_path=str(tmp_path / "out"), deferrable=False, outlets=[asset]))
    assert task.outlet_events[asset].extra == {
        "transcript_id": summary["transcript_id"],
        "audio": audio,
        "outputs": summary["outputs"],
    }
    lineage = collector.collected_assets
    assert [Path(entry.asset.uri).name for entry in lineage.inputs] == ["sp%C3%A4te%20Aufnahme.wav"]
    assert {Path(entry.asset.uri).suffix for entry in lineage.outputs} == {".json", ".txt"}


# Spending once -------------------------------------------------------------------------------------------------------


def test_outputs_that_are_there_end_any_other_run_without_a_call(
    server: LocalServer, task: TaskInstance, record: Callable[..., str], tmp_path: Path, deferrable: bool
) -> None:
    operator = transcribe(record(), output_path=str(tmp_path / "out"), deferrable=deferrable)
    summary = task.run(operator)
    before, asked = contents(tmp_path / "out"), all_requests(server)
    assert TaskInstance(task.client).run(operator) == summary
    assert all_requests(server) == asked
    assert contents(tmp_path / "out") == before


def test_a_format_that_is_missing_is_written_from_the_transcript_that_was_paid_for(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    audio, out = record(), str(tmp_path / "out")
    first = task.run(transcribe(audio, output_path=out, formats=["txt"], deferrable=False))
    other_run = TaskInstance(task.client)
    second = other_run.run(transcribe(audio, output_path=out, formats=["txt", "srt"], deferrable=False))
    assert second["transcript_id"] == first["transcript_id"]
    assert submissions() == 1
    assert TaskInstance(task.client).run(transcribe(audio, output_path=out, formats=["txt"], deferrable=False)) == first


def test_other_audio_or_other_parameters_are_a_new_job_and_replace_the_outputs(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    task.run(transcribe(record("One."), output_path=out, deferrable=False))
    task.run(transcribe(record("Two."), output_path=out, deferrable=False))
    summary = task.run(transcribe(record("Two."), output_path=out, deferrable=False, config={"punctuate": False}))
    assert submissions() == 3
    assert [name for name in contents(tmp_path / "out") if name.endswith(".txt")] == [
        Path(summary["outputs"]["txt"]).name
    ]


def test_a_retry_or_clear_while_the_job_runs_finds_it(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    operator = transcribe(record(process_s=1), output_path=str(tmp_path / "out"), deferrable=True)
    first = task.defer(operator)
    second = task.defer(operator)
    assert first.trigger.serialize()[1]["transcript_id"] == second.trigger.serialize()[1]["transcript_id"]
    operator.deferrable = False
    assert task.run(operator)["status"] == "completed"
    assert submissions() == 1


def test_a_retry_after_the_job_has_completed_does_not_defer(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    operator = transcribe(record(), output_path=str(tmp_path / "out"), deferrable=True)
    transcript_id = task.defer(operator).trigger.serialize()[1]["transcript_id"]
    while not task.client.get(transcript_id).ended:
        pass
    assert task.run(operator)["transcript_id"] == transcript_id
    assert task.deferrals == []
    assert submissions() == 1


def test_audio_that_was_moved_after_it_was_submitted_is_still_collected(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    audio = record()
    operator = transcribe(audio, output_path=str(tmp_path / "out"), deferrable=True)
    task.before_leg = Path(audio).unlink
    assert task.run(operator)["word_count"] == 5
    moved = record(name="moved.wav")
    operator = transcribe(moved, output_path=str(tmp_path / "out"), deferrable=True)
    task.defer(operator)
    Path(moved).unlink()
    operator.deferrable = False
    assert task.run(operator)["text"] == "Hello there. How are you?"
    assert submissions() == 2


def test_a_job_that_ran_out_of_time_is_left_alone_and_found_again(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], deferrable: bool
) -> None:
    operator = transcribe(
        record(process_s=0.7), wait_timeout=timedelta(seconds=0.1), deferrable=False, poll_interval_s=0.1
    )
    with pytest.raises(AssemblyAIWaitTimeout, match="goes on at the service and is paid for") as raised:
        task.run(operator)
    operator.deferrable = deferrable
    transcript_id = str(raised.value).split()[1]
    while not task.client.get(transcript_id).ended:
        pass
    assert task.run(operator)["transcript_id"] == transcript_id
    assert submissions() == 1


def test_all_tries_share_one_budget_from_the_first_submission(task: TaskInstance, record: Callable[..., str]) -> None:
    operator = transcribe(record(process_s=2), deferrable=True, wait_timeout=900)
    deadlines = {round(task.defer(operator).trigger.serialize()[1]["deadline"], 3) for _ in range(3)}
    assert len(deadlines) == 1


def test_a_try_does_not_wait_longer_than_its_execution_timeout(task: TaskInstance, record: Callable[..., str]) -> None:
    operator = transcribe(record(process_s=2), deferrable=True, execution_timeout=timedelta(seconds=60))
    deferred = task.defer(operator)
    assert deferred.trigger.serialize()[1]["deadline"] == pytest.approx(time.time() + 60, abs=5)
    assert deferred.timeout is not None
    assert deferred.timeout < timedelta(seconds=240)


# Outputs that cannot be written --------------------------------------------------------------------------------------


def test_storage_that_takes_nothing_is_found_out_before_anything_is_paid_for(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="Nothing was submitted") as raised:
        task.run(transcribe(record(), output_path=str(tmp_path / "out"), deferrable=False))
    assert raised.value.retryable
    assert submissions() == 0


def test_a_write_that_fails_names_the_paid_transcript_and_a_retry_only_writes(
    task: TaskInstance,
    record: Callable[..., str],
    submissions: Callable[[], int],
    tmp_path: Path,
    deferrable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    real = os.fsync

    def full(handle: int) -> None:
        if "call.wav" not in os.readlink(f"/proc/self/fd/{handle}") and submissions():
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", full)
    operator = transcribe(record(), output_path=str(tmp_path / "out"), deferrable=deferrable)
    with pytest.raises(OutputError, match=r"complete and paid for.*No space left.*A retry writes it") as raised:
        task.run(operator)
    assert str(raised.value.transcript_id) in str(raised.value)
    assert [name for name in contents(tmp_path / "out") if "call" in name or ".part" in name] == []
    monkeypatch.setattr("os.fsync", real)
    assert task.run(operator)["transcript_id"] == raised.value.transcript_id
    assert submissions() == 1


def test_an_output_that_somebody_deleted_is_written_again_with_the_same_bytes(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    operator = transcribe(record(), output_path=str(tmp_path / "out"), formats=ALL_FORMATS, deferrable=False)
    task.run(operator)
    before = contents(tmp_path / "out")
    for name in before:
        if name.endswith((".txt", ".srt")):
            (tmp_path / "out" / name).unlink()
    task.run(operator)
    assert contents(tmp_path / "out") == before
    assert submissions() == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"output_path": "out"}, "not absolute"),
        ({"output_path": "~/out"}, "not absolute"),
        ({"output_path": "https://example.org/out"}, "nothing can be written there"),
        ({"output_path": "/tmp/x", "formats": ["pdf"]}, "`formats` has no pdf"),
        ({"formats": []}, "`formats` must be"),
        ({"formats": "docx"}, "`formats` has no docx"),
    ],
)
def test_a_place_or_a_format_that_makes_no_sense_is_refused_before_anything_is_sent(
    server: LocalServer, task: TaskInstance, record: Callable[..., str], arguments: dict[str, Any], said: str
) -> None:
    asked = all_requests(server)
    with pytest.raises(AssemblyAIFailException, match=said):
        task.run(transcribe(record(), deferrable=False, **arguments))
    assert all_requests(server) == asked


@pytest.mark.parametrize("wrong", [-1, 16 * 1024 + 1])
def test_a_summary_that_would_fill_xcom_is_refused_when_the_dag_is_read(wrong: int) -> None:
    with pytest.raises(ValueError, match="inline_text_bytes"):
        transcribe("/data/a.wav", inline_text_bytes=wrong)


# Transcripts without a result ----------------------------------------------------------------------------------------


def test_a_recording_that_cannot_be_transcribed_fails_at_once_and_says_why(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], deferrable: bool
) -> None:
    audio = record(error="Transcoding failed. File does not appear to contain audio")
    with pytest.raises(AssemblyAIFailException, match=r"holds no audio.*not charged") as raised:
        task.run(transcribe(audio, deferrable=deferrable))
    assert raised.value.kind == "input"
    assert audio in str(raised.value)
    assert submissions() == 1


def test_a_failure_of_the_service_is_submitted_again_as_often_as_allowed(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], deferrable: bool
) -> None:
    operator = transcribe(record(error="Internal server error"), deferrable=deferrable, max_resubmits=2)
    for _ in range(2):  # A retry does not begin to count anew.
        with pytest.raises(AssemblyAIFailException, match="submitted 3 times"):
            task.run(operator)
        assert submissions() == 3


def test_somebody_who_clears_the_task_allows_as_many_resubmits_again(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int]
) -> None:
    operator = transcribe(record(error="Internal server error"), deferrable=False, max_resubmits=1)
    for submitted in (2, 4):
        with pytest.raises(AssemblyAIFailException, match="Clear the task to submit it again"):
            task.run(operator)
        assert submissions() == submitted
        task.clear()


def test_a_url_of_the_user_that_cannot_be_fetched_is_not_sent_again_by_itself(
    task: TaskInstance, submissions: Callable[[], int], server: LocalServer
) -> None:
    with pytest.raises((AudioUrlError, AssemblyAIFailException)):
        task.run(transcribe(f"{server.url}/nothing.wav", deferrable=False))
    assert submissions() == 1


def test_a_transcript_that_was_deleted_before_it_was_collected_is_made_again(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    operator = transcribe(record(), deferrable=True)
    transcript_id = task.defer(operator).trigger.serialize()[1]["transcript_id"]
    while not task.client.get(transcript_id).ended:
        pass
    task.client.delete(transcript_id)
    operator.deferrable = False
    with caplog.at_level(logging.WARNING):
        assert task.run(operator)["text"]
    assert f"{transcript_id} of" in caplog.text
    assert submissions() == 2


# Fetch and delete ----------------------------------------------------------------------------------------------------


def fetch(transcript_id: Any, **arguments: Any) -> AssemblyAIFetchTranscriptOperator:
    return AssemblyAIFetchTranscriptOperator(task_id="fetch", transcript_id=transcript_id, **arguments)


def delete(transcript: Any) -> AssemblyAIDeleteTranscriptOperator:
    return AssemblyAIDeleteTranscriptOperator(task_id="delete", transcript=transcript)


def test_a_paid_job_is_recovered_by_its_id(
    task: TaskInstance, record: Callable[..., str], submissions: Callable[[], int], tmp_path: Path
) -> None:
    made = task.run(transcribe(record(), deferrable=False))
    summary = TaskInstance(task.client).run(
        fetch(made["transcript_id"], output_path=str(tmp_path / "out"), formats=["txt", "vtt"])
    )
    text = Path(summary["outputs"]["txt"].removeprefix("file://"))
    assert text.name == f"{made['transcript_id']}.txt"
    assert text.read_text() == "Hello there. How are you?\n"
    assert submissions() == 1


@pytest.mark.parametrize("wrong", ["", None, "None", 7, "../../v2/transcript", "no-such-transcript"])
def test_what_is_no_transcript_cannot_be_fetched_or_deleted(task: TaskInstance, wrong: Any) -> None:
    for operator in (fetch(wrong), delete(wrong)):
        with pytest.raises(AssemblyAIFailException):
            task.run(operator)


def test_a_transcript_that_has_not_ended_is_left_to_a_retry(task: TaskInstance, record: Callable[..., str]) -> None:
    transcript_id = task.defer(transcribe(record(process_s=1), deferrable=True)).trigger.serialize()[1]["transcript_id"]
    with pytest.raises(Exception, match=r"is (queued|processing)") as raised:
        task.run(fetch(transcript_id))
    assert not isinstance(raised.value, AssemblyAIFailException)


def test_a_transcript_is_deleted_once_its_outputs_are_verified(
    task: TaskInstance, record: Callable[..., str], tmp_path: Path
) -> None:
    summary = task.run(transcribe(record(), output_path=str(tmp_path / "out"), deferrable=False))
    assert task.run(delete(summary)) == summary["transcript_id"]
    assert task.client.get(summary["transcript_id"]).deleted


@pytest.mark.parametrize("harm", ["missing", "changed", "no receipt"])
def test_nothing_is_deleted_while_an_output_is_not_whole(
    task: TaskInstance, record: Callable[..., str], tmp_path: Path, harm: str
) -> None:
    summary = task.run(transcribe(record(), output_path=str(tmp_path / "out"), deferrable=False))
    text = Path(summary["outputs"]["txt"].removeprefix("file://"))
    if harm == "missing":
        text.unlink()
    elif harm == "changed":
        text.write_text("Hello there. How are YOU?\n")
    else:
        next((tmp_path / "out" / "_asr").glob("call*")).unlink()
    with pytest.raises(OutputError):
        task.run(delete(summary))
    assert not task.client.get(summary["transcript_id"]).deleted


def test_a_summary_without_outputs_is_no_leave_to_delete(task: TaskInstance, record: Callable[..., str]) -> None:
    summary = task.run(transcribe(record(), deferrable=False))
    with pytest.raises(AssemblyAIFailException, match="names no outputs"):
        task.run(delete(summary))
    assert not task.client.get(summary["transcript_id"]).deleted
    assert task.run(delete(summary["transcript_id"])) == summary["transcript_id"]
