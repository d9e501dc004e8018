"""One sensor, whose deferred task instance is copied many times."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor

with DAG(
    "loaded",
    schedule=None,
    params={"transcript_id": Param(type="string"), "connection": Param(type="string")},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=5)},
    max_active_runs=2000,
):
    AssemblyAITranscriptSensor(
        task_id="wait",
        transcript_id="{{ params.transcript_id }}",
        assemblyai_conn_id="{{ params.connection }}",
        deferrable=True,
        timeout=3600,
    )
