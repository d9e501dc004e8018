"""When reading the list of transcripts is cheaper than asking for each. Pure: no clock, no I/O.

A page of the list tells how 200 transcripts are, without their texts. So one sweep over the newest pages answers for
all who wait at once, where asking for each would cost a request each. Other traffic fills pages, too; old
transcripts lie deep in the list. What a sweep does not come upon is asked for by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_asr.jobs.schedule import Uniform, backoff_s

PAGE_ROWS = 200

_LEAST_WATCHED = 10  # For fewer, the list is no gain that anybody would notice.
_LEAST_INTERVAL_S = 3.0
_MOST_INTERVAL_S = 15.0  # A sweep is so cheap that nobody needs to be told much later than that.
# A page takes some milliseconds of a core, so ten a second stay within a few percent of it. Up to some seconds between
# two sweeps nobody minds, so that a thousand or two of them cost even less.
_PAGE_S = 0.1
_EASY_PAGE_S, _EASY_S = 0.5, 5.0
_JITTER = 0.1
_FAILURES = 5
_UNUSABLE_S = 600.0


@dataclass
class Sweeps:
    """What the last sweeps have taught.

    Attributes:
        pages: how many the last one read.
        interval_s: seconds from it to the next.
        mean_interval_s: seconds between two looks at a transcript, if each were asked for by itself.
        last_at: when the last one ended, by the watcher's clock.
        next_at: when the next is due.
        failures: of sweeps, in a row.
        off_until: until when the list is left alone.
    """

    pages: int = 0
    interval_s: float = _LEAST_INTERVAL_S
    mean_interval_s: float = _LEAST_INTERVAL_S
    last_at: float = -math.inf
    next_at: float = -math.inf
    failures: int = 0
    off_until: float = -math.inf

    def pay(self, watched: int, now: float) -> bool:
        """Say whether sweeps cost fewer requests than asking for each.

        Args:
            watched: transcripts that the last sweep came upon, or that it could not have.
            now: the time, by the watcher's clock.
        """
        if watched < (_LEAST_WATCHED if not self.pages else 1) or now < self.off_until:
            return False
        pages = self.pages or math.ceil(watched / PAGE_ROWS)
        return pages / self.interval_s < watched / self.mean_interval_s

    def go_on(self, unseen: int, barren: int) -> bool:
        """Say whether the next page is worth its request.

        Args:
            unseen: transcripts that were not come upon yet.
            barren: pages in a row on which there was none.
        """
        worth = unseen * self.interval_s / max(self.mean_interval_s, self.interval_s)
        return worth > 1.0 and barren < worth

    def done(self, pages: int, now: float, *, soonest_s: float, most_s: float, mean_s: float, uniform: Uniform) -> None:
        """Note a sweep that read what it wanted.

        Args:
            pages: how many it read.
            now: the time.
            soonest_s: the shortest time between two looks at a transcript, if each were asked for by itself.
            most_s: the longest time between two looks that anybody wants, in seconds.
            mean_s: the mean time between two looks at a transcript, if each were asked for by itself.
            uniform: where jitter comes from.
        """
        self.pages = pages
        self.failures = 0
        self.mean_interval_s = max(mean_s, 0.001)
        least_s = max(_LEAST_INTERVAL_S, min(pages * _EASY_PAGE_S, _EASY_S))
        wanted_s = min(max(least_s, soonest_s), _MOST_INTERVAL_S, max(most_s, 0.001))
        self.interval_s = max(wanted_s, pages * _PAGE_S) * uniform(1.0, 1.0 + _JITTER)
        self.last_at = now
        self.next_at = now + self.interval_s

    @property
    def soonest(self) -> float:
        """When the next may begin at the earliest, however many wait for it."""
        if self.failures:
            return self.next_at
        return min(self.next_at, self.last_at + max(_LEAST_INTERVAL_S, self.pages * _PAGE_S))

    def hasten(self) -> None:
        """Make the next one come soon: somebody waits for a first look."""
        self.next_at = self.soonest

    def failed(self, now: float, uniform: Uniform, *, usable: bool = True) -> None:
        """Note a sweep that could not be made, and when to try the next. Meanwhile each is asked for by itself."""
        self.failures += 1
        if usable and self.failures < _FAILURES:
            self.next_at = now + backoff_s(self.failures, uniform)
            return
        self.failures = 0
        self.off_until = now + _UNUSABLE_S
        self.next_at = self.off_until
