"""When to look at a transcript next, and how many requests that may cost. Pure: no clock, no I/O.

Most files are done in under 45 seconds and an eight-hour file in five minutes (the vendor's figures), so an interval
that grows with the age of the wait notices the short ones soon and wastes no requests on the long ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[float, float], float]

# The vendor's limit is 20,000 requests in 5 minutes for all keys of an account together.
ACCOUNT_REQUESTS = 20_000
ACCOUNT_WINDOW_S = 300.0

# What one process may use of it.
SHARE_OF_REQUESTS = 0.25
BURST = 50.0


@dataclass(frozen=True)
class PollSchedule:
    """The times at which one transcript is looked at.

    Attributes:
        first_s: seconds to the first look. Airflow 3.3.2 fails a task whose trigger fires before the scheduler has
            handled its deferral, so this is never near zero.
        least_s: the shortest interval, in seconds.
        most_s: the longest interval, in seconds.
        share_of_age: how much of the time waited so far the next interval is.
        jitter: by how much of itself an interval may be longer, so that waits that began together drift apart.
    """

    first_s: float = 10.0
    least_s: float = 3.0
    most_s: float = 60.0
    share_of_age: float = 0.2
    jitter: float = 0.2

    def first(self, uniform: Uniform) -> float:
        """Return the seconds from the start of the wait to the first look; never less than ``first_s``."""
        return self.first_s * uniform(1.0, 1.0 + self.jitter)

    def after(self, age_s: float, uniform: Uniform) -> float:
        """Return the seconds to the next look at a transcript that has been waited for ``age_s`` seconds."""
        interval = min(max(age_s * self.share_of_age, self.least_s), max(self.most_s, self.least_s))
        return interval * uniform(1.0, 1.0 + self.jitter)

    def after_failure(self, age_s: float, failures: int, uniform: Uniform) -> float:
        """Return the seconds to the next look after so many in a row that taught nothing.

        The next comes soon at first. A transcript that the service always fails for comes to cost what one costs that
        is not done; and bad luck makes no wait longer than an answer would have.
        """
        return backoff_s(failures, uniform, cap_s=max(self.after(age_s, uniform), 1.0))


@dataclass
class RequestBudget:
    """A token bucket: this process's share of the account's requests.

    Attributes:
        per_s: requests a second that may be made for ever.
        burst: requests that may be made at once after a pause.
    """

    # With the burst in it, no window sees more than the share.
    per_s: float = (SHARE_OF_REQUESTS * ACCOUNT_REQUESTS - BURST) / ACCOUNT_WINDOW_S
    burst: float = BURST

    def __post_init__(self) -> None:
        self._tokens = self.burst
        self._at: float | None = None

    def wait_s(self, now: float) -> float:
        """Return how long the next request must wait at time ``now``, in seconds; 0 if it may go at once."""
        self._refill(now)
        return max(1.0 - self._tokens, 0.0) / self.per_s

    def allowance(self, now: float) -> int:
        """Return how many requests may go at once at time ``now``."""
        self._refill(now)
        return max(int(self._tokens), 0)

    def spend(self) -> None:
        """Count one request."""
        self._tokens -= 1.0

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + max(now - self._at, 0.0) * self.per_s)
        self._at = now


def backoff_s(failures: int, uniform: Uniform, *, base_s: float = 1.0, cap_s: float = 60.0) -> float:
    """Return how long all requests of an account pause after this many failures in a row, in seconds."""
    step = min(base_s * 2.0 ** min(failures - 1, 30), cap_s)
    return uniform(step / 2, step)
