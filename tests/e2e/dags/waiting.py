"""One transcript, waited for in every way that a sensor offers, and once more in each with ``soft_fail``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag

from airflow_asr.operators.assemblyai import AssemblyAISubmitTranscriptOperator
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False, "poke_interval": 2},
    # Airflow 3.3.2 takes quick ones for failed, as it does with quick triggers.
    "reschedule": {"mode": "reschedule", "deferrable": False, "poke_interval": 10},
    "deferrable": {"deferrable": True},
}


@dag(
    schedule=None,
    params={"audio": Param(type="string")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=2)},
)
def waiting() -> None:
    submit = AssemblyAISubmitTranscriptOperator(task_id="submit", audio="{{ params.audio }}", assemblyai_conn_id="echo")
    for name, mode in MODES.items():
        for suffix, soft_fail in (("", False), ("_soft", True)):
            AssemblyAITranscriptSensor(
                task_id=name + suffix,
                transcript_id=submit.output,
                assemblyai_conn_id="echo",
                timeout=300,
                soft_fail=soft_fail,
                **mode,
            )


waiting()
