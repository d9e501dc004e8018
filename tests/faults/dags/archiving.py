"""An archive by one task, which tells which process works on it, so that a test can kill that."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Context, Param, dag

from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator


class Telling(AssemblyAITranscribeBatchOperator):
    """Writes down its process before it begins, and before it goes on."""

    def execute(self, context: Context) -> Any:
        _tell(context)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        _tell(context)
        return super().execute_complete(context, event)


def _tell(context: Context) -> None:
    told = Path(context["params"]["pids"]) / f"{os.getpid()}"
    told.touch()


@dag(
    schedule=None,
    params={name: Param(type="string") for name in ("audio", "text", "pids")},
    default_args={"retries": 60, "retry_delay": timedelta(seconds=1)},
)
def archiving() -> None:
    Telling(
        task_id="transcribe",
        audio="{{ params.audio }}",
        output_path="{{ params.text }}",
        assemblyai_conn_id="busy",
        limits={"ramp": None, "max_in_flight": 400, "refill_at": 0.5, "max_round": 60},
        max_failures=1.0,
        deferrable=True,
    )


archiving()
