"""How long to wait before a call is made again, or not at all. Pure: no clock and no randomness of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from airflow_asr.api.errors import AssemblyAIError, AudioChangedError, ForbiddenError, UploadRefusedError

_UPLOAD_TRIES = 3  # The vendor's advice for 422; after that the file is to blame.


@dataclass(frozen=True)
class RetryPolicy:
    """When a call that may safely be repeated is repeated.

    Attributes:
        tries: how often a call is made in all; 1 means never again.
        base_s: seconds before the second try; doubled for each further one.
        cap_s: the longest of those waits, in seconds.
        retry_after_cap_s: the longest wait that the service may ask for, in seconds.
    """

    tries: int = 5
    base_s: float = 0.5
    cap_s: float = 20.0
    retry_after_cap_s: float = 120.0

    def wait_s(
        self, error: AssemblyAIError, attempt: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> float | None:
        """Return the seconds to wait after failed try number ``attempt`` (from 1), or None to give up.

        The wait is drawn between half and the whole of the step, so that clients that failed together do not come back
        together. What the service asks for is a least wait: the draw only adds to it.
        """
        if attempt >= self._tries_for(error):
            return None
        step = float(min(self.base_s * 2.0 ** min(attempt - 1, 30), self.cap_s))
        if error.retry_after is None:
            return uniform(step / 2, step)
        asked = min(max(error.retry_after, 0.0), self.retry_after_cap_s)
        return asked + uniform(0, self.base_s)

    def _tries_for(self, error: AssemblyAIError) -> int:
        if isinstance(error, UploadRefusedError):
            return min(self.tries, _UPLOAD_TRIES)
        if isinstance(error, ForbiddenError) and error.perhaps_throttled:
            return min(self.tries, 2)
        if isinstance(error, AudioChangedError):
            return 1  # The task's retry takes what is there then, as another job; the same call would fail again.
        return self.tries if error.retryable else 1


NO_RETRY = RetryPolicy(tries=1)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or None if it says nothing usable.

    Args:
        header: whole or decimal seconds, or an HTTP date.
        now: the time to count a date from, with its zone.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=now.tzinfo)
        seconds = (moment - now).total_seconds()
    # A negative or endless wait, or "nan", is no instruction.
    return max(seconds, 0.0) if seconds < float("inf") else None
