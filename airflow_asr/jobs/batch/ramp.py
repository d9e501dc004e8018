"""How fast jobs may be sent: a few in the first seconds, some more in each of the next. Pure: no clock, no I/O.

The vendor asks callers with many files to begin with 25 in 15 seconds and to send 8 to 9 % more in each 15 seconds
after that; who comes faster is throttled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class RampState(TypedDict):
    """Where a ramp stands; it survives the process.

    Attributes:
        began: when its current window began, in seconds since the epoch.
        windows: how many windows came before it.
        sent: jobs that were sent in it.
    """

    began: float
    windows: int
    sent: int


@dataclass(frozen=True)
class Ramp:
    """Limits the jobs that are sent in each window of time.

    Attributes:
        first: jobs in the first window.
        window_s: its length, in seconds.
        growth: by how much of itself each window allows more than the one before.
    """

    first: int = 25
    window_s: float = 15.0
    growth: float = 0.085

    def size(self, windows: int) -> int:
        """Return how many jobs a window allows that comes after so many others."""
        # Far beyond what any account allows; and a power without bounds overflows.
        return int(min(self.first * (1.0 + self.growth) ** min(windows, 500), 1e6))

    def at(self, state: RampState | None, now: float) -> RampState:
        """Return where the ramp stands at ``now``. A window that nobody used does not make the next one larger."""
        if state is None:
            return RampState(began=now, windows=0, sent=0)
        if 0 <= now - state["began"] < self.window_s:
            return state
        return RampState(began=now, windows=state["windows"] + (state["sent"] > 0), sent=0)

    def allowed(self, state: RampState) -> int:
        """Return how many jobs may still be sent in the current window."""
        return max(self.size(state["windows"]) - state["sent"], 0)

    def wait_s(self, state: RampState, now: float) -> float:
        """Return the seconds to the next window."""
        return max(state["began"] + self.window_s - now, 0.0)
