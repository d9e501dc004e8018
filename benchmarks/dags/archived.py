"""Many recordings: by one task, and by a task for each."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param, task

from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator, AssemblyAITranscribeOperator

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

with DAG("mapped", schedule=None, params=PARAMS, max_active_tasks=2000, default_args={"retries": 2}):
    AssemblyAITranscribeOperator.partial(
        task_id="transcribe", output_path="{{ params.output }}", assemblyai_conn_id="service", deferrable=True
    ).expand(audio=listed())
