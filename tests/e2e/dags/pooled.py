"""Two batches in a pool that has room for one."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator


@dag(
    schedule=None,
    params={"output": Param(type="string"), "folder": Param(type="string")},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=2)},
)
def pooled() -> None:
    for name in ("one", "two"):
        AssemblyAITranscribeBatchOperator(
            task_id=name,
            audio=f"{{{{ params.folder }}}}/{name}",
            output_path=f"{{{{ params.output }}}}/{name}",
            assemblyai_conn_id="echo",
            limits={"first_poll": 5},
            deferrable=True,
            pool="assemblyai",
            pool_slots=2,
        )


pooled()
