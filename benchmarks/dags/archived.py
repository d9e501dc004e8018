"""Many recordings: by one task, by a task for each, and by a task and a sensor for each."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_asr.operators.assemblyai import (
    AssemblyAISubmitTranscriptOperator,
    AssemblyAITranscribeBatchOperator,
    AssemblyAITranscribeOperator,
)
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor

PARAMS = {name: Param("", type="string") for name in ("audio", "output")}


@task
def listed(params: dict[str, str] | None = None) -> list[str]:
    """Return the recordings."""
    folder = (params or {})["audio"]
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


with DAG("batched", schedule=None, params=PARAMS):
    AssemblyAITranscribeBatchOperator(
        task_id="transcribe",
        audio="{{ params.audio }}",
        output_path="{{ params.output }}",
        assemblyai_conn_id="service",
        limits={"ramp": None},
        deferrable=True,
    )

EACH: dict[str, Any] = {"params": PARAMS, "max_active_tasks": 2000, "default_args": {"retries": 2}}

with DAG("mapped", schedule=None, **EACH):
    AssemblyAITranscribeOperator.partial(
        task_id="transcribe", output_path="{{ params.output }}", assemblyai_conn_id="service", deferrable=True
    ).expand(audio=listed())

with DAG("rescheduled", schedule=None, **EACH):
    submitted = AssemblyAISubmitTranscriptOperator.partial(task_id="submit", assemblyai_conn_id="service").expand(
        audio=listed()
    )
    AssemblyAITranscriptSensor.partial(
        task_id="wait", assemblyai_conn_id="service", deferrable=False, mode="reschedule", poke_interval=10
    ).expand(transcript_id=submitted.output)
