"""The server's own time: that of the machine, which tests can move forward."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_asr.local.errors import ApiError

_FURTHEST_S = 50 * 365 * 86_400.0  # Years must keep their four digits: times are compared as text.


class Clock:
    """What the server takes for now. Everything of it that has a date, or waits for one, asks here.

    Args:
        path: a file that keeps how far the clock was moved. Time must not go back when the server starts again.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ahead_s = float(path.read_text()) if path is not None and path.exists() else 0.0

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._ahead_s)

    def stamp(self, after: timedelta = timedelta(0)) -> str:
        """This moment, or one ``after`` it, as the service writes times. Later ones sort behind earlier ones."""
        return (self.now() + after).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def forward(self, seconds: float) -> None:
        """Move it forward.

        Raises:
            ApiError: it would be moved too far.
        """
        with self._lock:
            ahead_s = self._ahead_s + seconds
            if ahead_s > _FURTHEST_S:
                raise ApiError(f"The clock cannot be moved more than {_FURTHEST_S:.0f} seconds forward in all")
            if self._path is not None:
                part = self._path.with_suffix(".part")
                part.write_text(repr(ahead_s))
                os.replace(part, self._path)
            self._ahead_s = ahead_s


def parse(body: object) -> float:
    """How far ``{"forward_s": N}`` moves a clock, in seconds.

    Raises:
        ApiError: it does not say so, or N is no number from 0.
    """
    if not isinstance(body, dict) or body.keys() != {"forward_s"}:
        raise ApiError('The clock takes a JSON object with one field, like {"forward_s": 60}')
    seconds = body["forward_s"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _FURTHEST_S:
        raise ApiError(f"forward_s must be a number of seconds from 0 to {_FURTHEST_S:.0f}")
    return float(seconds)
