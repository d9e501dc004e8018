"""For how long failures hold back all requests of an account, and when not. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_asr.api.errors import AssemblyAIError, ForbiddenError, RateLimitError
from airflow_asr.jobs.schedule import Uniform, backoff_s

_LONGEST_PAUSE_S = 300.0  # A Retry-After beyond the limit's own window is no use.

# So many failures in a row are the service's or the network's, and the next request would meet them, too. Where three
# replies of ten are bad, one request of several hundred ends such a row.
_ROW_OF_AN_OUTAGE = 5


@dataclass
class FailureRow:
    """The failures of an account since the last answer, whatever the transcript.

    One failure among many answers says nothing of the next request: pausing the account for each would let through four
    requests a second where three replies of ten are bad, and a thousand waits would be minutes late.

    Attributes:
        failures: of all kinds.
        refusals: those that ask for fewer requests.
        forbidden: those of them that may mean the key as well.
    """

    failures: int = 0
    refusals: int = 0
    forbidden: int = 0

    def ends(self) -> None:
        """Note an answer."""
        self.failures = self.refusals = self.forbidden = 0

    def grows(self, error: AssemblyAIError, uniform: Uniform) -> float:
        """Note a failure, and return for how long no request of the account may go out, in seconds; 0 if others may."""
        self.failures += 1
        self.forbidden += isinstance(error, ForbiddenError)
        if error.retry_after is not None or isinstance(error, RateLimitError | ForbiddenError):
            self.refusals += 1
            return max(backoff_s(self.refusals, uniform), min(error.retry_after or 0.0, _LONGEST_PAUSE_S))
        if self.failures >= _ROW_OF_AN_OUTAGE:
            return backoff_s(self.failures - _ROW_OF_AN_OUTAGE + 1, uniform)
        return 0.0

    def outlasts(self, error: AssemblyAIError) -> bool:
        """Say whether an error is worth asking again after a while. A first 403 can mean the request limit."""
        throttled = isinstance(error, ForbiddenError) and error.perhaps_throttled and not self.forbidden
        return error.retryable or throttled
