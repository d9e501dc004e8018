"""A batch whose recordings and outputs are in object storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator
from tests.object_storage import BUCKET, ObjectStorage
from tests.operators.running import TaskInstance

KEY = "local-key-0123456789"


@pytest.fixture(scope="module")
def started() -> Iterator[ObjectStorage]:
    with ObjectStorage() as storage:  # One for all tests: Airflow keeps its file systems.
        yield storage


@pytest.fixture
def storage(started: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", started.connection())
    return started


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskInstance]:
    with LocalServer(api_key=KEY) as server, AssemblyAIClient(KEY, base_url=server.url) as client:
        connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": server.url}}
        monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
        yield TaskInstance(client)


def transcribe(text: str, **arguments: Any) -> AssemblyAITranscribeBatchOperator:
    return AssemblyAITranscribeBatchOperator(
        task_id="transcribe",
        output_path=f"s3://storage@{BUCKET}/{text}",
        limits={"ramp": None, "first_poll": 0.1},
        deferrable=True,
        **arguments,
    )


@pytest.mark.parametrize("upload", ["auto", "always"])
def test_a_day_of_a_bucket_comes_to_text_beside_it_and_costs_nothing_again(
    storage: ObjectStorage, task: TaskInstance, upload: str
) -> None:
    for number in range(12):
        storage.put(f"calls/2026-09-01/{number:02}.wav", scripted_audio(f"Call {number}.", process_s=0))
    storage.put("calls/2026-09-02/other.wav", scripted_audio("Another day.", process_s=0))
    audio, text = f"s3://storage@{BUCKET}/calls/2026-09-01/*.wav", f"text-{upload}"
    summary = task.run(transcribe(text, audio=audio, upload=upload))
    assert (summary["completed"], summary["new"], summary["submitted"]) == (12, 12, 12)
    rows = [json.loads(line) for line in storage.get(f"{text}/manifest.calls.transcribe.jsonl").splitlines()]
    assert [row["uri"] for row in rows] == [f"s3://{BUCKET}/calls/2026-09-01/{number:02}.wav" for number in range(12)]
    assert storage.get(rows[3]["outputs"]["txt"].partition(f"{BUCKET}/")[2]) == b"Call 3.\n"
    assert storage.keys(f"{text}/_asr/open/") == storage.keys(f"{text}/_asr/batch/") == []
    again = TaskInstance(task.client, run_id="again").run(transcribe(text, audio=audio, upload=upload))
    assert (again["completed"], again["new"], again["submitted"]) == (12, 0, 0)


def test_the_ledger_of_a_signed_archive_grants_no_access(storage: ObjectStorage, task: TaskInstance) -> None:
    for number in range(3):
        storage.put(f"secret/{number}.wav", scripted_audio(f"Call {number}.", process_s=5))
    task.defer(transcribe("signed", audio=f"s3://storage@{BUCKET}/secret/"))
    ledger = storage.keys("signed/_asr/")
    assert [key for key in ledger if key.endswith(".window.json")]
    for key in ledger:
        assert b"X-Amz" not in storage.get(key)
    assert "X-Amz" not in json.dumps(task.state.kept)
