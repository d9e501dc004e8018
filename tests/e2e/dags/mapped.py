"""A folder of audio: one submission and one wait for each file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_asr.operators.assemblyai import AssemblyAISubmitTranscriptOperator
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor


@dag(
    schedule=None,
    params={"folder": Param(type="string")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=2)},
)
def mapped() -> None:
    @task
    def find(params: dict[str, Any] | None = None) -> list[str]:
        assert params is not None
        return sorted(str(path) for path in Path(params["folder"]).iterdir())

    submit = AssemblyAISubmitTranscriptOperator.partial(task_id="submit", assemblyai_conn_id="echo").expand(
        audio=find()
    )
    AssemblyAITranscriptSensor.partial(
        task_id="wait", assemblyai_conn_id="echo", deferrable=True, poke_interval=5, timeout=300
    ).expand(transcript_id=submit.output)


mapped()
