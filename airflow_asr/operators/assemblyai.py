"""Operators for AssemblyAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_asr._airflow import NEVER_EXPIRE, BaseOperator
from airflow_asr.exceptions import airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class AssemblyAISubmitTranscriptOperator(BaseOperator):
    """Submits audio and returns the transcript's id; a sensor waits for it.

    What was submitted is remembered for the task instance: a retry, or Clear, returns the id of the job that runs or
    has a result already, and submits again only if the audio, the parameters or the service's URL changed, or if the
    job ended without a result. A submission whose fate is unknown fails the task at once: trying could pay twice.

    Args:
        audio: an absolute local path on the worker, or an http(s) URL that the service can fetch. Templated.
        config: the service's own parameters, passed through by name; a value of ``None`` leaves the parameter out.
            Templated.
        assemblyai_conn_id: the Connection. Templated.

    Raises:
        AssemblyAIFailException: the audio, the request or the account must change first.
        ServiceError: the service failed before a job was made; a retry may work.
    """

    template_fields: Sequence[str] = ("audio", "config", "assemblyai_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#e8e4fb"

    def __init__(
        self,
        *,
        audio: str | XComArg,
        config: Mapping[str, Any] | XComArg | None = None,
        assemblyai_conn_id: str = "assemblyai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Airflow has put a value in the place of an XComArg by the time that execute() runs.
        self.audio: Any = audio
        self.config: Any = config
        self.assemblyai_conn_id = assemblyai_conn_id

    def execute(self, context: Context) -> str:
        """Return the id of the transcript."""
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.source import find_audio
        from airflow_asr.jobs.submission import Submission

        with airflow_errors():
            source = find_audio(self.audio)
            records = _TaskRecords(context)
            return Submission(AssemblyAIHook(self.assemblyai_conn_id).client, records).submit(source, self.config or {})


class _TaskRecords:
    """The task state store, which survives retries and Clear, with records that do not expire."""

    def __init__(self, context: Context) -> None:
        self._store: Any = context["task_state_store"]  # type: ignore[typeddict-item, unused-ignore]

    def get(self, key: str) -> Any:
        return self._store.get(key)

    def set(self, key: str, value: Any) -> None:
        self._store.set(key, value, retention=NEVER_EXPIRE)
