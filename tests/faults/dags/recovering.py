"""One recording, to be disturbed: in both modes, and as a day of a backfill."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronPartitionTimetable, Param

from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator
from airflow_asr.retry_policy import AssemblyAIRetryPolicy

PARAMS = {
    "audio": Param(type="string"),
    "output": Param(type="string"),
    "connection": Param("echo", type="string"),
}
RETRIES = {"retries": 5, "retry_delay": timedelta(seconds=5), "retry_policy": AssemblyAIRetryPolicy(base_s=5)}


def transcribe(audio: str, output: str, connection: str, deferrable: bool) -> None:
    AssemblyAITranscribeOperator(
        task_id="transcribe",
        audio=audio,
        output_path=output,
        formats=["json", "txt", "srt"],
        assemblyai_conn_id=connection,
        deferrable=deferrable,
        first_poll_s=5,
        poll_interval_s=5,
    )


for deferrable in (True, False):
    with DAG(
        f"recovering_{'deferred' if deferrable else 'in_a_slot'}", schedule=None, params=PARAMS, default_args=RETRIES
    ) as dag:
        transcribe("{{ params.audio }}", "{{ params.output }}", "{{ params.connection }}", deferrable)
    globals()[dag.dag_id] = dag

with DAG(
    "recovering_days",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", key_format="%Y-%m-%d"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    is_paused_upon_creation=True,
) as days:
    # The paths are the same in each run of a day: a run that processes it again knows nothing else of the first.
    folder = "{{ var.value.asr_test_days }}"
    transcribe(f"{folder}/{{{{ partition_key }}}}.json", f"{folder}/text", "echo", deferrable=True)
