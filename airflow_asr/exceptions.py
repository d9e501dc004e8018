"""What a task fails with.

An error that trying again cannot mend becomes an :class:`AssemblyAIFailException`: Airflow fails the task at once, and
``soft_fail`` skips it in every mode. Every other error stays what it is in :mod:`airflow_asr.api.errors`: Airflow then
counts it as a failed try, and ``soft_fail`` leaves it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_asr._airflow import AirflowException, AirflowFailException
from airflow_asr.api.errors import AssemblyAIError

__all__ = ["AssemblyAIFailException", "AssemblyAIWaitTimeout", "airflow_errors"]


class AssemblyAIFailException(AirflowFailException):
    """Nothing that a retry does can help. ``kind`` tells whose fault it is; ``__cause__`` is the whole error."""

    def __init__(self, message: str, *, kind: str = "unknown", transcript_id: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.transcript_id = transcript_id


class AssemblyAIWaitTimeout(AirflowException):
    """A transcript did not end in the time that it was given. The job goes on; a retry looks at it again."""


def failure(error: AssemblyAIError, advice: str = "") -> AssemblyAIFailException:
    """Return the exception that fails a task at once because of ``error``, with a word on what to do."""
    return AssemblyAIFailException(f"{error} {advice}".rstrip(), kind=error.kind, transcript_id=error.transcript_id)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Let an error that is not worth a retry fail the task at once."""
    try:
        yield
    except AssemblyAIError as error:
        if error.retryable:
            raise
        raise failure(error) from error
