"""What a load costs: requests at the service, counted over its lives, and what a process and its children use."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from airflow_asr.jobs.schedule import RequestBudget
from demo.processes import Process

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class _Sample(NamedTuple):
    before: float
    after: float
    total: int


class RequestMeter:
    """Counts requests, from the start to each reading. Times are those of ``time.monotonic``.

    Args:
        count: returns how many there were since the service was started.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._earlier = -count()
        self._samples: list[_Sample] = []
        self.read()

    @property
    def total(self) -> int:
        """Requests so far."""
        return self._samples[-1].total

    def read(self) -> None:
        """Take a reading."""
        before = time.monotonic()
        count = self._count()
        self._samples.append(_Sample(before, time.monotonic(), self._earlier + count))

    def ends(self) -> None:
        """Take the last reading of this life of the service: its next one counts from nothing."""
        self.read()
        self._earlier = self.total

    def most_in(self, window_s: float) -> int:
        """Return the most requests between two readings that lie no more than so many seconds apart."""
        return max(
            last.total - first.total
            for number, first in enumerate(self._samples)
            for last in self._samples[number:]
            if last.after - first.before <= window_s
        )

    def beyond(self, budget: RequestBudget) -> int:
        """Return by how many requests the budget was exceeded between any two readings; 0 if it never was."""
        excess = max(
            last.total - first.total - budget.burst - budget.per_s * (last.after - first.before)
            for number, first in enumerate(self._samples)
            for last in self._samples[number:]
        )
        return max(math.ceil(excess), 0)


def cpu_s(process: Process) -> float:
    """Return the CPU seconds of a process and its living children."""
    ticks = 0
    for pid in _members(process):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def memory_mb(process: Process) -> float:
    """Return the memory of a process and its living children, in MB; what they share is counted once."""
    kb = 0
    for pid in _members(process):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kb += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kb / 1024


def _members(process: Process) -> list[int]:
    assert process.identity is not None, f"{process.name} was not started"
    return process.identity.members()
