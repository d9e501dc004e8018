"""Waits for a transcript."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_asr._airflow import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    deferrable_by_default,
)
from airflow_asr.exceptions import AssemblyAIFailException, airflow_errors, failure

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_asr.jobs.results import TranscriptSummary

# Our trigger tells of a deadline itself, and says which transcript; Airflow's own cut comes after it, as a safety net.
_AIRFLOW_CUT_AFTER = timedelta(seconds=120)


class AssemblyAITranscriptSensor(BaseSensorOperator):
    """Waits until a transcript is completed and returns its summary; fails if it ended in error.

    Poke, reschedule and deferrable mode end alike. A hiccup of the service never ends the wait; ``timeout`` does, and
    leaves the job alone: clear the sensor to wait again, at no cost. A sensor cannot submit, so a transcript that ended
    in error is final for it.

    Args:
        transcript_id: the id that the submit operator returned. Templated.
        assemblyai_conn_id: the Connection. Templated.
        first_poll_s: seconds from deferring to the first look. Airflow 3.3.2 fails a task whose trigger fires before
            the scheduler has handled its deferral, so keep it at some seconds.
        deferrable: wait in the triggerer, without a worker slot; default: ``[operators] default_deferrable``.
        **kwargs: those of every sensor. ``poke_interval`` is, when deferrable, the longest time between two looks
            (3 s at least).

    Raises:
        AssemblyAIFailException: the transcript ended in error, is gone, or the account must change first.
        AirflowSensorTimeout: it did not end in ``timeout`` seconds.
    """

    template_fields: Sequence[str] = ("transcript_id", "assemblyai_conn_id")
    ui_color = "#d5eadf"

    def __init__(
        self,
        *,
        transcript_id: str | XComArg,
        assemblyai_conn_id: str = "assemblyai_default",
        first_poll_s: float = 10.0,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.transcript_id: Any = transcript_id  # A value by the time that execute() runs.
        self.assemblyai_conn_id = assemblyai_conn_id
        self.first_poll_s = first_poll_s
        self.deferrable = deferrable_by_default() if deferrable is None else deferrable

    def execute(self, context: Context) -> Any:
        """Return the summary of the transcript, or defer."""
        if self.deferrable:
            with self._soft_fail():
                return self._finish_or_defer(context)
        if not self.reschedule:
            self.log.info("Waiting in a worker slot; deferrable=True would wait without one.")
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            error = self._timed_out()
            self._skip_if(self.never_fail, error)
            raise error from None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> TranscriptSummary:
        """Finish on the worker after the trigger has fired. The event only says that it is time to look."""
        self.log.info("The trigger says: transcript %s is %s.", event.get("transcript_id"), event.get("status"))
        with self._soft_fail():
            return self._finish_or_defer(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        summary = self._look(context)
        return PokeReturnValue(is_done=summary is not None, xcom_value=summary)

    def _finish_or_defer(self, context: Context) -> TranscriptSummary:
        summary = self._look(context)
        if summary is not None:
            return summary
        left_s = self._started(context) + self._limit_s() - time.time()
        if left_s <= 0:
            raise self._timed_out()
        from airflow_asr.triggers.assemblyai import AssemblyAITranscriptTrigger

        trigger = AssemblyAITranscriptTrigger(
            transcript_id=self.transcript_id,
            assemblyai_conn_id=self.assemblyai_conn_id,
            first_poll_s=self.first_poll_s,
            poll_interval_s=self.poke_interval,
            deadline=time.time() + left_s,
        )
        timeout = timedelta(seconds=left_s) + _AIRFLOW_CUT_AFTER
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)
        raise AssertionError("defer() returned")  # It never does; the type checker does not know.

    def _look(self, context: Context) -> TranscriptSummary | None:
        try:
            return self._summary(context)
        except AssemblyAIFailException as error:
            if self.soft_fail or self.never_fail:
                self.log.warning("%s", error)  # Airflow skips with a sentence of its own, and the reason would be lost.
            raise

    def _summary(self, context: Context) -> TranscriptSummary | None:
        """Return the summary of a completed transcript, None if it has not ended, or raise why it never will."""
        from airflow_asr.api.errors import from_transcript
        from airflow_asr.hooks.assemblyai import AssemblyAIHook
        from airflow_asr.jobs.look import checked_id, look
        from airflow_asr.jobs.results import summarise

        with airflow_errors():
            transcript_id = checked_id(self.transcript_id)
            client = AssemblyAIHook(self.assemblyai_conn_id).client
            transcript = look(client, transcript_id, waited_s=time.time() - self._started(context))
        if transcript is None:
            return None
        if transcript.error or transcript.status == "error":
            error = from_transcript(transcript.error or "no reason given", transcript_id=transcript.id)
            raise failure(error, "Clear the task that submitted it to try this audio again.") from error
        return summarise(transcript)

    def _started(self, context: Context) -> float:
        """Return when this try began to wait, in seconds since the epoch. Deferral keeps a try's start date."""
        ti = context["ti"]
        start = ti.get_first_reschedule_date(context) if self.reschedule and not self.deferrable else None
        start = start or getattr(ti, "start_date", None)
        return float(start.timestamp()) if start else time.time()

    def _limit_s(self) -> float:
        """Return the seconds that a try may wait. Airflow does not apply ``execution_timeout`` while it is deferred."""
        limit = self.execution_timeout.total_seconds() if self.execution_timeout else self.timeout
        return min(limit, self.timeout) if self.deferrable else self.timeout

    def _timed_out(self) -> AirflowSensorTimeout | AirflowTaskTimeout:
        limit_s = self._limit_s()
        kind = AirflowSensorTimeout if limit_s == self.timeout else AirflowTaskTimeout
        return kind(
            f"Transcript {self.transcript_id} has not ended after {limit_s:g} s. The job goes on at the service and is "
            "paid for when it completes. Clear this sensor to wait for the same transcript again, at no cost."
        )

    @contextmanager
    def _soft_fail(self) -> Iterator[None]:
        """Do for the deferrable mode what BaseSensorOperator.execute does for the others."""
        try:
            yield
        except AirflowSkipException:
            raise
        except (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout) as error:
            self._skip_if(self.soft_fail or self.never_fail, error)
            raise
        except Exception as error:
            self._skip_if(self.never_fail, error)
            raise

    def _skip_if(self, wanted: bool, error: BaseException) -> None:
        if wanted:
            raise AirflowSkipException(f"Skipping: {error}") from error
