"""Operators for AssemblyAI."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_asr._airflow import BaseOperator, deferrable_by_default
from airflow_asr.exceptions import AssemblyAIWaitTimeout, airflow_errors
from airflow_asr.operators._batch import AssemblyAITranscribeBatchOperator
from airflow_asr.operators._task import DEFAULT_FORMATS, checked_inline_bytes, hand_over, outputs_in, task_records

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_asr.api.client import AssemblyAIClient
    from airflow_asr.jobs.results import TranscriptSummary
    from airflow_asr.jobs.transcription import Transcription, Waiting

__all__ = [
    "AssemblyAIDeleteTranscriptOperator",
    "AssemblyAIFetchTranscriptOperator",
    "AssemblyAISubmitTranscriptOperator",
    "AssemblyAITranscribeBatchOperator",
    "AssemblyAITranscribeOperator",
]

# Our trigger tells of a deadline itself, and says which transcript; Airflow's own cut comes after it, as a safety net.
_AIRFLOW_CUT_AFTER = timedelta(seconds=120)


class AssemblyAISubmitTranscriptOperator(BaseOperator):
    """Submits audio and returns the transcript's id; a sensor waits for it.

    What was submitted is remembered for the task instance: a retry, or Clear, returns the id of the job that runs or
    has a result already, and submits again only if the audio, the parameters or the service's URL changed, or if the
    job ended without a result. After a submission whose end nobody saw, its job is looked for in the service's list;
    only if it cannot appear there any more is it sent again.

    Args:
        audio: an absolute local path on the worker, an object storage URI as ``s3://conn_id@bucket/key``, or an
            http(s) URL that the service can fetch. Templated.
        config: the service's own parameters, passed through by name; a value of ``None`` leaves the parameter out.
            Templated.
        assemblyai_conn_id: the Connection. Templated.
        upload: ``auto`` gives the service a signed URL where the storage can sign, and uploads otherwise; ``always``
            uploads; ``never`` does not. Templated.

    Raises:
        AssemblyAIFailException: the audio, the request or the account must change first.
        ServiceError: the service failed before a job was made; a retry may work.
    """

    template_fields: Sequence[str] = ("audio", "config", "assemblyai_conn_id", "upload")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#e8e4fb"

    def __init__(
        self,
        *,
        audio: str | XComArg,
        config: Mapping[str, Any] | XComArg | None = None,
        assemblyai_conn_id: str = "assemblyai_default",
        upload: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Airflow has put a value in the place of an XComArg by the time that execute() runs.
        self.audio: Any = audio
        self.config: Any = config
        self.assemblyai_conn_id = assemblyai_conn_id
        self.upload = upload

    def execute(self, context: Context) -> str:
        """Return the id of the transcript."""
        from airflow_asr._airflow import open_path
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.source import find_audio
        from airflow_asr.jobs.submission import Submission

        with airflow_errors():
            source = find_audio(self.audio, open_path=open_path, upload=self.upload)
            client = AssemblyAIHook(self.assemblyai_conn_id).client
            return Submission(client, task_records(context)).submit(source, self.config or {})


class AssemblyAITranscribeOperator(BaseOperator):
    """Turns one recording into text: submits it, waits, writes the outputs, and returns a summary for the next task.

    The recording is paid for once. A retry, Clear, or a worker that died finds the job by what is remembered for the
    task instance; outputs of the same audio and parameters that are there already end the task without a call.

    Args:
        audio: an absolute local path on the worker, an object storage URI as ``s3://conn_id@bucket/key``, or an
            http(s) URL that the service can fetch. Templated.
        output_path: the folder for the outputs: a local path or an object storage URI. Without it there are none, and
            the text is in the summary if it fits. A partitioned run writes into a folder of its partition's key in it.
            Templated.
        formats: which outputs: ``json`` (the service's whole reply, but for the query of a signed URL), ``txt``,
            ``srt``, ``vtt``, ``sentences``, ``paragraphs``. Templated.
        config: the service's own parameters, passed through by name; a value of ``None`` leaves the parameter out.
            Templated.
        assemblyai_conn_id: the Connection. Templated.
        upload: ``auto`` gives the service a signed URL where the storage can sign, and uploads otherwise; ``always``
            uploads; ``never`` does not. Templated.
        wait_timeout: how long to wait for the transcript in all, over all tries, in seconds or as a ``timedelta``. It
            counts from the first submission. When it runs out the job is left alone; a retry looks again at no cost.
        max_resubmits: how often a transcript that ended in an error of the service is submitted again (failed
            transcripts are not charged), in all retries together. Clear allows as many again.
        deferrable: wait in the triggerer, without a worker slot; default: ``[operators] default_deferrable``.
        first_poll_s: seconds from deferring to the first look. Airflow 3.3.2 fails a task whose trigger fires before
            the scheduler has handled its deferral, so keep it at some seconds.
        poll_interval_s: the longest time between two looks, in seconds.
        inline_text_bytes: the summary holds the text while its encoded JSON stays under this; at most 16,384.

    Raises:
        AssemblyAIFailException: the audio, the request or the account must change first.
        AssemblyAIWaitTimeout: the transcript did not end in ``wait_timeout``.
        OutputError: an output could not be written; a retry writes it and pays nothing.
    """

    template_fields: Sequence[str] = ("audio", "output_path", "formats", "config", "assemblyai_conn_id", "upload")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#d9e8f7"

    def __init__(
        self,
        *,
        audio: str | XComArg,
        output_path: str | ObjectStoragePath | XComArg | None = None,
        formats: Sequence[str] | XComArg = DEFAULT_FORMATS,
        config: Mapping[str, Any] | XComArg | None = None,
        assemblyai_conn_id: str = "assemblyai_default",
        upload: str = "auto",
        wait_timeout: float | timedelta = timedelta(days=1),
        max_resubmits: int = 2,
        deferrable: bool | None = None,
        first_poll_s: float = 10.0,
        poll_interval_s: float = 60.0,
        inline_text_bytes: int = 8 * 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio: Any = audio
        self.output_path: Any = output_path
        self.formats: Any = formats
        self.config: Any = config
        self.assemblyai_conn_id = assemblyai_conn_id
        self.upload = upload
        self.wait_timeout_s = wait_timeout.total_seconds() if isinstance(wait_timeout, timedelta) else wait_timeout
        self.max_resubmits = max_resubmits
        self.deferrable = deferrable_by_default() if deferrable is None else deferrable
        self.first_poll_s = first_poll_s
        self.poll_interval_s = poll_interval_s
        self.inline_text_bytes = checked_inline_bytes(inline_text_bytes)

    def execute(self, context: Context) -> TranscriptSummary:
        """Return the summary of the transcript, or defer."""
        return self._run(context, None)

    def execute_complete(
        self, context: Context, event: dict[str, Any], fingerprint: str | None = None
    ) -> TranscriptSummary:
        """Finish on the worker after the trigger has fired. The event only says that it is time to look."""
        self.log.info("The trigger says: transcript %s is %s.", event.get("transcript_id"), event.get("status"))
        return self._run(context, fingerprint)

    def _run(self, context: Context, fingerprint: str | None) -> TranscriptSummary:
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.transcription import Waiting

        with airflow_errors():
            client = AssemblyAIHook(self.assemblyai_conn_id).client
            transcription = self._transcription(context, client)
            outcome = transcription.advance(fingerprint)
            while isinstance(outcome, Waiting):
                self._wait(context, client, outcome)
                outcome = transcription.advance(outcome.fingerprint)
        hand_over(self, context, outcome)
        return outcome

    def _transcription(self, context: Context, client: AssemblyAIClient) -> Transcription:
        from airflow_asr._airflow import open_path
        from airflow_asr.jobs.source import find_audio
        from airflow_asr.jobs.transcription import Order, Transcription

        order = Order(
            find=lambda: find_audio(self.audio, open_path=open_path, upload=self.upload),
            audio=str(self.audio),
            config=self.config or {},
            outputs=outputs_in(context, self.output_path, self.formats),
            max_resubmits=self.max_resubmits,
            inline_text_bytes=self.inline_text_bytes,
        )
        return Transcription(client, task_records(context), order)

    def _wait(self, context: Context, client: AssemblyAIClient, waiting: Waiting) -> None:
        """Defer, or wait here until it is worth looking at everything again."""
        left_s = self._left_s(context, waiting)
        if left_s <= 0:
            raise AssemblyAIWaitTimeout(
                f"Transcript {waiting.transcript_id} of {waiting.audio} has not ended in the time that it was given. "
                "The job goes on at the service and is paid for when it completes. A retry, or Clear, looks at the "
                "same transcript again, at no cost; with a larger `wait_timeout` it also waits."
            )
        if self.deferrable:
            self._defer(waiting, left_s)
        from airflow_asr.jobs.look import wait_here

        self.log.info("Waiting in a worker slot; deferrable=True would wait without one.")
        wait_here(client, waiting.transcript_id, most_s=self.poll_interval_s, limit_s=left_s)

    def _defer(self, waiting: Waiting, left_s: float) -> None:
        from airflow_asr.triggers.assemblyai import AssemblyAITranscriptTrigger

        self.defer(
            trigger=AssemblyAITranscriptTrigger(
                transcript_id=waiting.transcript_id,
                assemblyai_conn_id=self.assemblyai_conn_id,
                first_poll_s=self.first_poll_s,
                poll_interval_s=self.poll_interval_s,
                deadline=time.time() + left_s,
            ),
            method_name="execute_complete",
            kwargs={"fingerprint": waiting.fingerprint},
            timeout=timedelta(seconds=left_s) + _AIRFLOW_CUT_AFTER,
        )

    def _left_s(self, context: Context, waiting: Waiting) -> float:
        """Return the seconds that are left. Airflow does not apply ``execution_timeout`` while a task is deferred."""
        now = time.time()
        deadline = (now if waiting.since is None else waiting.since) + self.wait_timeout_s
        start = getattr(context["ti"], "start_date", None)
        if self.execution_timeout and start:
            deadline = min(deadline, start.timestamp() + self.execution_timeout.total_seconds())
        return deadline - now


class AssemblyAIFetchTranscriptOperator(BaseOperator):
    """Writes the outputs of a transcript that exists already and returns its summary; it submits nothing.

    It recovers any job that was paid for, by its id, whoever submitted it, as long as the service keeps it (30 days
    unless the account says otherwise).

    Args:
        transcript_id: the transcript. Templated.
        output_path: the folder for the outputs: a local path or an object storage URI. Templated.
        formats: which outputs, as for :class:`AssemblyAITranscribeOperator`. Templated.
        assemblyai_conn_id: the Connection. Templated.
        inline_text_bytes: the summary holds the text while its encoded JSON stays under this; at most 16,384.

    Raises:
        AssemblyAIFailException: the transcript ended in error, is gone, or the account must change first.
        TranscriptNotReadyError: it has not ended yet.
        OutputError: an output could not be written.
    """

    template_fields: Sequence[str] = ("transcript_id", "output_path", "formats", "assemblyai_conn_id")
    ui_color = "#d5eadf"

    def __init__(
        self,
        *,
        transcript_id: str | XComArg,
        output_path: str | ObjectStoragePath | XComArg | None = None,
        formats: Sequence[str] | XComArg = DEFAULT_FORMATS,
        assemblyai_conn_id: str = "assemblyai_default",
        inline_text_bytes: int = 8 * 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.transcript_id: Any = transcript_id
        self.output_path: Any = output_path
        self.formats: Any = formats
        self.assemblyai_conn_id = assemblyai_conn_id
        self.inline_text_bytes = checked_inline_bytes(inline_text_bytes)

    def execute(self, context: Context) -> TranscriptSummary:
        """Return the summary of the transcript."""
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.fetching import fetch
        from airflow_asr.jobs.look import checked_id
        from airflow_asr.jobs.names import safe_name

        with airflow_errors():
            transcript_id = checked_id(self.transcript_id)
            make = outputs_in(context, self.output_path, self.formats)
            outputs = make(safe_name(transcript_id)) if make else None
            client = AssemblyAIHook(self.assemblyai_conn_id).client
            summary = fetch(client, transcript_id, outputs, inline_text_bytes=self.inline_text_bytes)
        hand_over(self, context, summary)
        return summary


class AssemblyAIDeleteTranscriptOperator(BaseOperator):
    """Deletes a transcript's content, and its upload, at the service. The service keeps a row that says so.

    Args:
        transcript: the summary that a transcribe or fetch task returned: its outputs are read and compared with their
            receipts first, and nothing is deleted unless each is whole. Or a transcript's id, which is deleted as it
            is. Templated.
        assemblyai_conn_id: the Connection. Templated.

    Raises:
        AssemblyAIFailException: there are no outputs, the transcript is not known, or the account must change first.
        OutputError: an output is missing, cannot be read, or is not what was written. Nothing was deleted.
    """

    template_fields: Sequence[str] = ("transcript", "assemblyai_conn_id")
    ui_color = "#f3dcdc"

    def __init__(
        self,
        *,
        transcript: str | TranscriptSummary | XComArg,
        assemblyai_conn_id: str = "assemblyai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.transcript: Any = transcript
        self.assemblyai_conn_id = assemblyai_conn_id

    def execute(self, context: Context) -> str:
        """Return the id of the transcript that was deleted."""
        from airflow_asr._airflow import open_path
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.look import checked_id
        from airflow_asr.jobs.outputs import verify_summary

        with airflow_errors():
            if isinstance(self.transcript, Mapping):
                transcript_id = verify_summary(self.transcript, open_path)
            else:
                transcript_id = checked_id(self.transcript)
            AssemblyAIHook(self.assemblyai_conn_id).client.delete(transcript_id)
        self.log.info("Deleted transcript %s at the service.", transcript_id)
        return transcript_id
