"""A folder of audio, one task for each file, in both modes: text to the disk of the worker, and to a bucket."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_asr.operators.assemblyai import AssemblyAIDeleteTranscriptOperator, AssemblyAITranscribeOperator


@dag(
    schedule=None,
    params={"folder": Param(type="string"), "local": Param(type="string"), "bucket": Param(type="string")},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=2)},
)
def transcribing() -> None:
    @task
    def find(params: dict[str, Any] | None = None) -> list[str]:
        assert params is not None
        return sorted(str(path) for path in Path(params["folder"]).iterdir())

    files = find()
    AssemblyAITranscribeOperator.partial(
        task_id="deferred",
        output_path="file://{{ params.local }}",
        formats=["json", "txt", "srt"],
        assemblyai_conn_id="echo",
        deferrable=True,
        poll_interval_s=5,
    ).expand(audio=files)
    AssemblyAITranscribeOperator.partial(
        task_id="in_a_slot",
        output_path="{{ params.bucket }}",
        formats=["txt"],
        config={"punctuate": True},
        assemblyai_conn_id="echo",
        deferrable=False,
        poll_interval_s=3,
    ).expand(audio=files)


transcribing()


@dag(
    schedule=None,
    params={"audio": Param(type="string"), "output": Param(type="string")},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=2)},
)
def one_recording() -> None:
    transcribe = AssemblyAITranscribeOperator(
        task_id="transcribe",
        audio="{{ params.audio }}",
        output_path="{{ params.output }}",
        assemblyai_conn_id="echo",
        deferrable=True,
        poll_interval_s=5,
    )
    AssemblyAIDeleteTranscriptOperator(task_id="delete", transcript=transcribe.output, assemblyai_conn_id="echo")


one_recording()
