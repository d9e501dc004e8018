"""The transcripts that a watcher looks at, and whose turn it is. For one thread at a time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_asr.jobs.schedule import PollSchedule
from airflow_asr.jobs.waiters import Waiter


@dataclass(eq=False)
class Watch:
    """One transcript and all who wait for it. Times are those of the watcher's clock, in seconds.

    Attributes:
        transcript_id: the transcript.
        schedule: when to look.
        began: when the wait began.
        due: when to look next.
        waiters: who waits.
        failures: looks in a row that failed.
        queued: when its entry in the queue comes up. Its look may have been put off since.
        missing: a sweep of the list did not come upon it.
    """

    transcript_id: str
    schedule: PollSchedule
    began: float
    due: float
    waiters: list[Waiter] = field(default_factory=list)
    failures: int = 0
    queued: float = math.inf
    missing: bool = False

    @property
    def first(self) -> float:
        """When it may be looked at for the first time."""
        return self.began + self.schedule.first_s


class Watches:
    """All watches of an account, and a queue of them by when they are due."""

    def __init__(self) -> None:
        self._by_id: dict[str, Watch] = {}
        # (due, tie-break, watch). An entry is stale once its watch is gone or queued at another time.
        self._queue: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._missing = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Watch]:
        return iter(self._by_id.values())

    def __contains__(self, watch: Watch) -> bool:
        return self._by_id.get(watch.transcript_id) is watch

    @property
    def listed(self) -> int:
        """How many a sweep of the list may come upon."""
        return len(self._by_id) - self._missing

    def get(self, transcript_id: str) -> Watch | None:
        """Return the watch of a transcript."""
        return self._by_id.get(transcript_id)

    def add(self, watch: Watch) -> None:
        """Begin to watch."""
        self._by_id[watch.transcript_id] = watch
        self.enqueue(watch, watch.due)

    def forget(self, watch: Watch) -> None:
        """Watch no longer."""
        del self._by_id[watch.transcript_id]
        self._missing -= watch.missing

    def mark(self, watch: Watch, *, missing: bool) -> None:
        """Note whether a sweep has come upon a transcript."""
        self._missing += missing - watch.missing
        watch.missing = missing

    def enqueue(self, watch: Watch, due: float) -> None:
        """Let it be its turn then, and at no other time."""
        watch.due = watch.queued = due
        heapq.heappush(self._queue, (due, next(self._order), watch))

    def next_due(self) -> float | None:
        """Return when the next turn comes; None if there is none."""
        while self._queue and self._stale(*self._queue[0]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def take(self, now: float) -> Watch | None:
        """Return the next whose turn it is by now, and take it out of the queue."""
        while (due := self.next_due()) is not None and due <= now:
            watch = heapq.heappop(self._queue)[2]
            if watch.due <= now:
                return watch
            self.enqueue(watch, watch.due)  # It was put off since.
        return None

    def clear_queue(self) -> None:
        """Drop the entries that are left of watches that are gone."""
        self._queue.clear()

    def _stale(self, due: float, _: int, watch: Watch) -> bool:
        return watch not in self or watch.queued != due
