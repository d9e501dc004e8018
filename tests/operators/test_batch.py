"""An archive to text by one task, against the local server, in both modes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.exceptions import AssemblyAIFailException
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator
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
    limits = {"ramp": None, **arguments.pop("limits", {})}
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
    again = TaskInstance(task.client, run_id="another").run(transcribe(folder, output, deferrable=deferrable))
    assert (again["completed"], again["new"], submissions()) == (60, 0, 60)


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
