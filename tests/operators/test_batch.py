"""An archive to text by one task, against the local server, in both modes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import OutputError
from airflow_asr.exceptions import AssemblyAIFailException, AssemblyAIWaitTimeout
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator, AssemblyAITranscribeOperator
from tests.operators.running import TaskInstance

KEY = "local-key-0123456789"


@pytest.fixture(scope="module")
def running() -> Iterator[LocalServer]:
    with LocalServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def server(running: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": running.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
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
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Write recordings, and return their folder."""

    def write(**said: str | None) -> Path:
        folder = tmp_path / "audio"
        folder.mkdir(exist_ok=True)
        for name, text in said.items():
            data = b"" if text is None else scripted_audio(text, process_s=0)
            (folder / f"{name}.wav").write_bytes(data)
        return folder

    return write


@pytest.fixture
def submissions(server: LocalServer) -> Callable[[], int]:
    """Return how many jobs were submitted since the test began."""
    before = server.requests().get("POST /v2/transcript", 0)
    return lambda: server.requests().get("POST /v2/transcript", 0) - before


def transcribe(audio: Any, output: Path, **arguments: Any) -> AssemblyAITranscribeBatchOperator:
    limits = {"ramp": None, "first_poll": 0.1, **arguments.pop("limits", {})}
    return AssemblyAITranscribeBatchOperator(
        task_id="transcribe", audio=audio, output_path=str(output), limits=limits, **arguments
    )


def rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    manifest = Path(summary["manifest"].removeprefix("file://"))
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def test_a_folder_comes_to_text_and_a_manifest_and_costs_nothing_the_second_time(
    task: TaskInstance,
    archive: Callable[..., Path],
    tmp_path: Path,
    deferrable: bool,
    submissions: Callable[[], int],
    server: LocalServer,
) -> None:
    folder = archive(**{f"call-{number:03}": f"This is call {number}." for number in range(60)})
    output = tmp_path / "text"
    summary = task.run(transcribe(folder, output, deferrable=deferrable))
    assert (summary["files"], summary["completed"], summary["new"], summary["failed"]) == (60, 60, 60, 0)
    found = rows(summary)
    assert [row["key"] for row in found] == [f"call-{number:03}.wav" for number in range(60)]
    assert Path(found[7]["outputs"]["txt"].removeprefix("file://")).read_text() == "This is call 7.\n"
    assert submissions() == summary["submitted"] == 60
    assert not list((output / "_asr" / "open").iterdir())
    asked = server.requests()
    again = TaskInstance(task.client, run_id="another").run(transcribe(folder, output, deferrable=deferrable))
    assert (again["completed"], again["new"], submissions()) == (60, 0, 60)
    assert server.requests() == asked  # Not one request, of any kind.


def test_a_bad_recording_is_in_the_manifest_and_the_others_go_on(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, deferrable: bool, submissions: Callable[[], int]
) -> None:
    folder = archive(good="Hello.", empty=None)
    (folder / "noise.wav").write_bytes(scripted_audio("", error="Transcoding failed. File type is text/html"))
    with pytest.raises(AssemblyAIFailException, match="2 of 3 recordings failed"):
        task.run(transcribe(folder, tmp_path / "text", deferrable=deferrable))
    summary = task.run(transcribe(folder, tmp_path / "text", deferrable=deferrable, max_failures=2))
    assert {row["key"]: (row["status"], row["kind"]) for row in rows(summary)} == {
        "empty.wav": ("failed", "input"),
        "good.wav": ("completed", None),
        "noise.wav": ("failed", "input"),
    }
    assert submissions() == 2


# What is spent -------------------------------------------------------------------------------------------------------


def test_a_refused_key_stops_everything_and_spends_nothing(
    task: TaskInstance,
    archive: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: LocalServer,
) -> None:
    connection = {"conn_type": "assemblyai", "password": "wrong-key-000000", "extra": {"base_url": server.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    folder = archive(**{f"call-{number}": "Hello." for number in range(40)})
    before = server.requests()
    with pytest.raises(AssemblyAIFailException, match="API key"):
        task.run(transcribe(folder, tmp_path / "text", deferrable=True))
    asked = {route: count - before.get(route, 0) for route, count in server.requests().items()}
    assert asked.get("POST /v2/transcript", 0) == 0
    assert sum(asked.values()) <= 60  # The uploads that were under way; not one for each of many.


def test_a_wrong_request_is_sent_for_one_window_and_not_for_all(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder = archive(**{f"call-{number:03}": "Hello." for number in range(60)})
    with pytest.raises(AssemblyAIFailException, match="speech_models"):
        task.run(transcribe(folder, tmp_path / "text", config={"speech_models": []}))
    assert submissions() <= 25


def test_a_transcript_that_the_service_fails_is_submitted_again_and_counted(
    task: TaskInstance, tmp_path: Path, archive: Callable[..., Path], deferrable: bool, submissions: Callable[[], int]
) -> None:
    folder = archive(good="Hello.")
    (folder / "unlucky.wav").write_bytes(scripted_audio("", error="Internal server error"))
    summary = task.run(
        transcribe(folder, tmp_path / "text", deferrable=deferrable, max_failures=0.5, limits={"max_resubmits": 2})
    )
    assert (summary["completed"], summary["failed"], submissions()) == (1, 1, 4)
    assert rows(summary)[1]["kind"] == "service"


def test_what_failed_by_its_own_fault_is_left_alone_until_it_changes(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder = archive(good="Hello.")
    bad = folder / "bad.wav"
    bad.write_bytes(scripted_audio("", error="File does not appear to contain audio"))
    first = task.run(transcribe(folder, tmp_path / "text", max_failures=1))
    again = task.run(transcribe(folder, tmp_path / "text", max_failures=1))
    assert (first["failed"], again["failed"], submissions()) == (1, 1, 2)
    bad.write_bytes(scripted_audio("Mended.", process_s=0))
    mended = task.run(transcribe(folder, tmp_path / "text"))
    assert (mended["completed"], mended["failed"], submissions()) == (2, 0, 3)


def test_new_parameters_are_new_transcripts(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder = archive(one="Hello.", two="Good bye.")
    task.run(transcribe(folder, tmp_path / "text"))
    summary = task.run(transcribe(folder, tmp_path / "text", config={"filter_profanity": True}))
    assert (summary["completed"], summary["new"], submissions()) == (2, 2, 4)


def test_a_recording_that_a_task_of_its_own_transcribed_is_there_already(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder, output = archive(one="Hello.", two="Good bye."), tmp_path / "text"
    single = AssemblyAITranscribeOperator(
        task_id="single", audio=str(folder / "one.wav"), output_path=str(output), deferrable=False
    )
    TaskInstance(task.client, run_id="single").run(single)
    summary = task.run(transcribe(folder, output))
    assert (summary["completed"], summary["new"], submissions()) == (2, 1, 2)


def test_a_task_for_one_recording_takes_over_what_a_batch_has_under_way(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder, output = archive(), tmp_path / "text"
    (folder / "one.wav").write_bytes(scripted_audio("Hello.", process_s=1))
    task.defer(transcribe(folder, output, deferrable=True))
    single = AssemblyAITranscribeOperator(
        task_id="single", audio=str(folder / "one.wav"), output_path=str(output), deferrable=False
    )
    summary = TaskInstance(task.client, run_id="single").run(single)
    assert (summary["text"], submissions()) == ("Hello.", 1)


def test_a_new_run_takes_over_what_the_one_before_has_under_way(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder, output = archive(), tmp_path / "text"
    for number in range(30):
        (folder / f"call-{number}.wav").write_bytes(scripted_audio(f"Call {number}.", process_s=0.5))
    task.defer(transcribe(folder, output, deferrable=True))
    summary = TaskInstance(task.client, run_id="again").run(transcribe(folder, output, deferrable=True))
    assert (summary["completed"], summary["submitted"], submissions()) == (30, 0, 30)


def test_a_ledger_that_is_gone_stops_the_batch(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder, output = archive(one="Hello."), tmp_path / "text"
    task.defer(transcribe(folder, output, deferrable=True))
    shutil.rmtree(output)
    with pytest.raises(OutputError, match="ledger of this batch is not where it was"):
        task.run(transcribe(folder, output, deferrable=True))
    assert submissions() == 1


# Budget --------------------------------------------------------------------------------------------------------------


def hours(tmp_path: Path, *seconds: float, told: bool = True) -> Path:
    """Write recordings of these lengths, and a manifest that tells the lengths."""
    folder = tmp_path / "long"
    folder.mkdir()
    lines = []
    for number, each in enumerate(seconds):
        path = folder / f"{number}.wav"
        path.write_bytes(scripted_audio(f"Number {number}.", seconds=each, process_s=0))
        lines.append(json.dumps({"audio": str(path), **({"seconds": each} if told else {})}))
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("\n".join(lines))
    return manifest


def test_what_is_known_not_to_fit_the_budget_is_not_begun(
    task: TaskInstance, tmp_path: Path, submissions: Callable[[], int]
) -> None:
    manifest = hours(tmp_path, 1800, 1800, 1800)
    with pytest.raises(AssemblyAIFailException, match=r"1\.50 hours.*allows 1 hours.*Nothing was submitted"):
        task.run(transcribe(str(manifest), tmp_path / "text", budget={"max_audio_hours": 1}))
    assert submissions() == 0


def test_a_budget_of_unknown_lengths_ends_the_batch_before_it_is_exceeded_by_more_than_one(
    task: TaskInstance, tmp_path: Path, submissions: Callable[[], int], deferrable: bool
) -> None:
    manifest = hours(tmp_path, *[600.0] * 10, told=False)
    with pytest.raises(AssemblyAIFailException, match=r"of 10 recordings were not sent.*budget of 0\.5 hours"):
        task.run(transcribe(str(manifest), tmp_path / "text", budget={"max_audio_hours": 0.5}, deferrable=deferrable))
    assert submissions() == 3
    more = task.run(transcribe(str(manifest), tmp_path / "text", budget={"max_audio_hours": 2}, deferrable=deferrable))
    assert (more["completed"], submissions()) == (10, 10)


def test_money_is_counted_by_model_and_feature(task: TaskInstance, tmp_path: Path) -> None:
    manifest = hours(tmp_path, 1800, 1800)
    summary = task.run(
        transcribe(
            str(manifest),
            tmp_path / "text",
            config={"redact_pii": True, "redact_pii_policies": ["date"]},
            budget={"max_cost": 1, "prices": {"default": 0.2, "redact_pii": 0.02}},
        )
    )
    assert summary["cost"] == pytest.approx(0.22)
    assert [row["cost"] for row in rows(summary)] == [pytest.approx(0.11)] * 2


@pytest.mark.parametrize(
    ("config", "missing"),
    [({"speech_models": ["slam-2"]}, "'slam-2'"), ({"iab_categories": True}, "'iab_categories'")],
)
def test_a_price_that_nobody_gave_is_an_error_and_no_guess(
    task: TaskInstance, tmp_path: Path, config: dict[str, Any], missing: str, submissions: Callable[[], int]
) -> None:
    manifest = hours(tmp_path, 60)
    budget = {"max_cost": 1, "prices": {"default": 0.2}}
    with pytest.raises(AssemblyAIFailException, match=f"no price for.*{missing}"):
        task.run(transcribe(str(manifest), tmp_path / "text", config=config, budget=budget))
    assert submissions() == 0


def test_a_dry_run_says_what_it_would_take_and_does_nothing(
    task: TaskInstance, tmp_path: Path, submissions: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = hours(tmp_path, 1800, 5400)
    caplog.set_level("INFO")
    summary = task.run(
        transcribe(str(manifest), tmp_path / "text", dry_run="True", budget={"prices": {"default": 0.5}})
    )
    assert (summary["left"], summary["audio_hours"], summary["cost"], submissions()) == (2, 2.0, 1.0, 0)
    assert not (tmp_path / "text").exists()
    assert "2 to transcribe: 2.00 hours of audio; it costs 1.00" in caplog.text


# What is given wrongly -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limits": {"max_inflight": 5}}, "`limits` has no max_inflight. There are: max_in_flight"),
        ({"limits": {"max_in_flight": 5000}}, "`max_in_flight` is 5000. Give a whole number from 1 to 1000"),
        ({"limits": {"ramp": {"first": 0}}}, "`ramp`: `first` is 0"),
        ({"limits": {"refill_at": 1.5}}, "`refill_at` is 1.5"),
        ({"limits": [1]}, "`limits` must be a dict"),
        ({"budget": {"max_cost": 5}}, "has a `max_cost` and no `prices`"),
        ({"budget": {"prices": {"default": "cheap"}}}, "`prices`: `default` is 'cheap'"),
        ({"max_failures": -1}, "`max_failures` is -1"),
        ({"dry_run": "maybe"}, "`dry_run` is 'maybe'"),
        ({"formats": ["pdf"]}, "`formats` has no pdf"),
    ],
)
def test_what_is_given_wrongly_is_named_before_anything_is_done(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    arguments = {"limits": {}, **arguments}
    operator = AssemblyAITranscribeBatchOperator(
        task_id="transcribe", audio=str(archive(one="Hello.")), output_path=str(tmp_path / "text"), **arguments
    )
    with pytest.raises(AssemblyAIFailException, match=re.escape(said)):
        task.run(operator)
    assert not (tmp_path / "text").exists()


def test_numbers_may_come_from_templates_as_text(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path
) -> None:
    folder = archive(one="Hello.", bad=None)
    summary = task.run(
        transcribe(folder, tmp_path / "text", max_failures="1", limits={"max_in_flight": "10", "refill_at": "0.3"})
    )
    assert summary["failed"] == 1


def test_running_out_of_time_leaves_the_jobs_to_a_retry(
    task: TaskInstance, archive: Callable[..., Path], tmp_path: Path, submissions: Callable[[], int]
) -> None:
    folder = archive()
    (folder / "long.wav").write_bytes(scripted_audio("Hello.", process_s=2))
    with pytest.raises(AssemblyAIWaitTimeout, match="1 jobs go on"):
        task.run(transcribe(folder, tmp_path / "text", wait_timeout=0.2, limits={"max_round": 1}))
    summary = task.run(transcribe(folder, tmp_path / "text", wait_timeout=60))
    assert (summary["completed"], submissions()) == (1, 1)
