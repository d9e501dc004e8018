"""Tasks that wait: for a transcript, and for an event that is already there when they begin."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, BaseOperator, Param, task

from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator
from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor
from benchmarks.triggers import LagTrigger, ToldTrigger


class Deferring(BaseOperator):
    """Defers, and does nothing else.

    Args:
        moment: to be woken then, in epoch seconds: Airflow's own floor.
        lag_file: to have the triggerer's lag written there, for ever.
    """

    template_fields = ("moment", "lag_file")

    def __init__(self, *, moment: str = "", lag_file: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.moment = moment
        self.lag_file = lag_file

    def execute(self, context: Any) -> None:
        trigger = LagTrigger(self.lag_file) if self.lag_file else ToldTrigger(float(self.moment))
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        """Do nothing."""


PARAMS = {"transcript_id": Param("", type="string"), "connection": Param("service", type="string")}


def wait() -> AssemblyAITranscriptSensor:
    return AssemblyAITranscriptSensor(
        task_id="wait",
        transcript_id="{{ params.transcript_id }}",
        assemblyai_conn_id="{{ params.connection }}",
        deferrable=True,
        timeout=7200,
    )


@task
def begin() -> None:
    """Be the next task: its start is what is measured."""


with DAG("waiting", schedule=None, params=PARAMS, max_active_runs=20_000):
    wait()

with DAG("noticed", schedule=None, params=PARAMS):
    wait() >> begin()

with DAG("transcribed", schedule=None, params={**PARAMS, "audio": Param(""), "output": Param("")}):
    (
        AssemblyAITranscribeOperator(
            task_id="wait",
            audio="{{ params.audio }}",
            output_path="{{ params.output }}",
            assemblyai_conn_id="{{ params.connection }}",
            deferrable=True,
        )
        >> begin()
    )

with DAG("told", schedule=None, params={"moment": Param(0, type="number")}):
    Deferring(task_id="wait", moment="{{ params.moment }}") >> begin()

with DAG("lagging", schedule=None, params={"lag_file": Param("", type="string")}):
    Deferring(task_id="wait", lag_file="{{ params.lag_file }}")
