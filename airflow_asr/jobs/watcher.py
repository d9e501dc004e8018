"""One poll loop per account for every trigger of the process.

A triggerer may hold thousands of waits. A client, a session and a timer for each would use up the account's request
limit and the event loop. Here they share one thread, one HTTP session and one budget, and a wait costs a future.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import ClassVar, Protocol
from weakref import WeakValueDictionary

from airflow_asr.api.errors import AccountError, AssemblyAIError, ForbiddenError, TranscriptNotFoundError
from airflow_asr.api.pages import TranscriptPage
from airflow_asr.api.transcript import Transcript, TranscriptStatus
from airflow_asr.jobs.look import NOT_FOUND_PATIENCE_S
from airflow_asr.jobs.pauses import FailureRow
from airflow_asr.jobs.schedule import PollSchedule, RequestBudget, Uniform
from airflow_asr.jobs.sweeps import Sweeps
from airflow_asr.jobs.waiters import ManyWaiter, OneWaiter, Result, Waiter, wake
from airflow_asr.jobs.watches import Watch, Watches

log = logging.getLogger(__name__)


class Client(Protocol):
    """What the watcher needs of a client; one that does not retry, since the watcher has its own pace."""

    account: str

    def get(self, transcript_id: str) -> Transcript:
        """Return the transcript."""
        ...

    def list(self, *, before_id: str | None = None) -> TranscriptPage:
        """Return a page of the list, newest first."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


_SWEEP: list[Watch] = []
_LONE_S = 3.0
_TOLD_EVERY_S = 300.0
_COVERED_FOR = 2.5  # Sweeps that may fail to come before a transcript is asked for by itself.


class TranscriptWatcher:
    """Looks at the transcripts of one account until each has ended.

    Any number of event loops may wait. The thread starts with the first waiter and ends with the last.

    Args:
        client: belongs to the watcher from now on; only its thread uses it.
        budget: the requests that this process may make.
        clock: seconds that never go back.
        uniform: where jitter comes from.
    """

    _shared: ClassVar[WeakValueDictionary[str, TranscriptWatcher]] = WeakValueDictionary()
    _shared_lock = threading.Lock()

    def __init__(
        self,
        client: Client,
        *,
        budget: RequestBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._client = client
        self._budget = budget or RequestBudget()
        self._clock = clock
        self._uniform = uniform
        self._changed = threading.Condition()
        self._watches = Watches()
        self._thread: threading.Thread | None = None
        self._paused_until = 0.0
        self._row = FailureRow()
        self._sweeps = Sweeps()
        self._awaits_sweep = False
        self._put_off: dict[str, Watch] = {}
        """What is due and waits for the next sweep."""

    @classmethod
    def shared(cls, client: Client) -> TranscriptWatcher:
        """Return the process's watcher for the client's account, made with this client if there is none yet."""
        with cls._shared_lock:
            watcher = cls._shared.get(client.account)
            if watcher is None:
                watcher = cls._shared[client.account] = cls(client)
            return watcher

    async def ended(self, transcript_id: str, schedule: PollSchedule) -> str:
        """Wait until the transcript has ended and return its status.

        A hiccup of the service or the network never ends the wait; whoever waits sets the deadline, by cancelling.

        Raises:
            AccountError: the key was refused. Everyone who waits on this account gets it.
            AssemblyAIError: this transcript cannot be read, and waiting will not change that.
        """
        waiter = OneWaiter()
        self._add([transcript_id], schedule, waiter)
        try:
            return await waiter.future
        finally:
            self._remove([transcript_id], waiter)

    async def some_ended(
        self, transcript_ids: Iterable[str], schedule: PollSchedule, enough: int, ended: set[str]
    ) -> None:
        """Wait until ``enough`` of these transcripts have ended, with one future for all. Now and then, log how many.

        Args:
            transcript_ids: the transcripts.
            schedule: when to look.
            enough: how many must have ended; those that are in ``ended`` already count.
            ended: takes the ids, also when the wait is cancelled. A transcript that cannot be read is among them.

        Raises:
            AccountError: the key was refused.
        """
        left = [each for each in dict.fromkeys(transcript_ids) if each not in ended]
        if len(ended) >= enough or not left:
            return
        count = len(ended) + len(left)
        waiter = ManyWaiter(min(enough, count), ended, (AccountError,))
        self._add(left, schedule, waiter)
        try:
            while not (await asyncio.wait([waiter.future], timeout=_TOLD_EVERY_S))[0]:
                log.info("%d of %d transcripts have ended.", len(ended), count)
            await waiter.future
        finally:
            self._remove(left, waiter)

    # Called in the event loops -------------------------------------------------------------------------------------

    def _add(self, transcript_ids: Iterable[str], schedule: PollSchedule, waiter: Waiter) -> None:
        with self._changed:
            now = self._clock()
            for transcript_id in transcript_ids:
                due = now + schedule.first(self._uniform)
                watch = self._watches.get(transcript_id)
                if watch is None:
                    watch = Watch(transcript_id, schedule, now, due)
                    self._watches.add(watch)
                elif due < watch.due:
                    self._watches.enqueue(watch, due)
                watch.waiters.append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="airflow-asr-watcher", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _remove(self, transcript_ids: Iterable[str], waiter: Waiter) -> None:
        with self._changed:
            for transcript_id in transcript_ids:
                watch = self._watches.get(transcript_id)
                if watch is None or waiter not in watch.waiters:
                    continue
                watch.waiters.remove(waiter)
                if not watch.waiters:
                    self._watches.forget(watch)
            self._changed.notify()

    # Called in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        log.info("Watching transcripts of account %s.", self._client.account)
        while (due := self._wait_for_due()) is not None:
            if due is _SWEEP:
                self._sweep()
                continue
            for watch in due:
                if self._paused_until <= self._clock():
                    self._look(watch)
                else:
                    self._look_again(watch, watch.due)  # It keeps its turn.
        log.info("Nobody waits for transcripts of account %s any more.", self._client.account)

    def _wait_for_due(self) -> list[Watch] | None:
        """Return the watches to look at now, ``_SWEEP`` to look at all, or None when nobody waits any more."""
        with self._changed:
            while self._watches:
                due = self._take_due()
                if due:
                    return due
                if self._sweep_is_due():
                    return _SWEEP
                self._changed.wait(self._seconds_to_next())
            # Under the same lock as the last look at the watches: whoever comes next sees that it must start a thread.
            self._thread = None
            self._watches.clear_queue()
            self._put_off.clear()
            self._awaits_sweep = False
            self._client.close()
            return None

    def _take_due(self) -> list[Watch]:
        now = self._clock()
        taken: list[Watch] = []
        allowed = self._budget.allowance(now) if now >= self._paused_until else 0
        sweeping = self._sweeping(now)
        while len(taken) < allowed and (watch := self._watches.take(now)) is not None:
            if not sweeping or watch.missing:
                taken.append(watch)
                continue
            self._sweeps.hasten()
            self._awaits_sweep = True
            self._watches.enqueue(watch, max(self._sweeps.next_at, now) + self._sweeps.interval_s)
            self._put_off.setdefault(watch.transcript_id, watch)
        return taken

    def _sweeping(self, now: float) -> bool:
        return self._sweeps.pay(self._watches.listed, now)

    def _sweep_is_due(self) -> bool:
        now = self._clock()
        return (
            self._awaits_sweep
            and now >= max(self._paused_until, self._sweeps.next_at)
            and self._sweeping(now)
            and self._budget.allowance(now) > 0
        )

    def _seconds_to_next(self) -> float | None:
        """Return when to wake, in seconds; None if only a change can give something to do."""
        due = self._watches.next_due()
        if due is None:
            return None
        now = self._clock()
        if self._sweeping(now):
            due = max(due, self._sweeps.soonest)  # Whoever's turn comes before would only be put off.
            if self._awaits_sweep:
                due = min(due, self._sweeps.next_at)
        return max(due - now, self._paused_until - now, self._budget.wait_s(now), 0.001)

    def _look_again(self, watch: Watch, due: float) -> None:
        with self._changed:
            if watch in self._watches:
                self._watches.enqueue(watch, due)

    def _look(self, watch: Watch) -> None:
        with self._changed:
            if watch not in self._watches:
                return  # Whoever waited has left, or the whole account was refused earlier in this round.
            self._budget.spend()
        age_s = self._clock() - watch.began
        try:
            transcript = self._client.get(watch.transcript_id)
        except AssemblyAIError as error:
            if not self._outlasts(error, watch, age_s):
                return
        except Exception as error:  # A thread that dies would leave every wait hanging until its deadline.
            log.exception("Looking at transcript %s failed in a way that nobody foresaw.", watch.transcript_id)
            # A future takes no StopIteration; wrapped, every error wakes who waits.
            failure = RuntimeError(f"Looking at transcript {watch.transcript_id} failed; the watcher's log says why.")
            failure.__cause__ = error
            self._settle([watch], failure)
            return
        else:
            self._row.ends()
            watch.failures = 0
            if transcript.ended:
                self._settle([watch], transcript.status)
                return
        self._look_again(watch, self._clock() + watch.schedule.after(age_s, self._uniform))

    def _sweep(self) -> None:
        """Look at all transcripts by pages of the list, as far as that pays."""
        began = self._clock()
        with self._changed:
            # A trigger that fires before its first look's time could be too soon for the scheduler.
            wanted = {watch.transcript_id: watch for watch in self._watches if watch.first <= began}
            unseen = {each for each, watch in wanted.items() if not watch.missing}
        if not self._sweeps.go_on(len(unseen), 0):
            self._look_at_put_off()
            return
        seen: list[Watch] = []
        pages = barren = 0
        before_id: str | None = None
        while self._sweeps.go_on(len(unseen), barren):
            page = self._page(before_id)
            if page is None:
                self._covered(seen)
                return
            pages += 1
            found = [(row, watch) for row in page if (watch := wanted.get(row.id)) is not None]
            barren = 0 if found else barren + 1
            self._settle_all((watch, row.status) for row, watch in found if row.status in TranscriptStatus.ENDED)
            seen += [watch for row, watch in found if row.status not in TranscriptStatus.ENDED]
            unseen.difference_update(row.id for row, _ in found)
            before_id = page.older
            if before_id is None:
                break
        self._swept(pages, unseen)
        self._covered(seen)

    def _look_at_put_off(self) -> None:
        """Ask for those whose turn it was: too few others may be looked at by now for a sweep to pay."""
        with self._changed:
            lone = [watch for watch in self._put_off.values() if watch in self._watches]
            self._put_off.clear()
            self._awaits_sweep = False
        for watch in lone:
            self._look(watch)

    def _page(self, before_id: str | None) -> TranscriptPage | None:
        """Return a page of the list; None if it cannot be had now, or nobody waits any more."""
        with self._changed:
            while (allowed := self._budget.allowance(self._clock())) < 1 and self._watches:
                self._changed.wait(self._budget.wait_s(self._clock()))
            if not allowed or not self._watches:
                return None
            self._budget.spend()
        try:
            page = self._client.list(before_id=before_id)
        except Exception as error:
            self._sweep_failed(error)
            return None
        self._row.ends()
        return page

    def _swept(self, pages: int, unseen: Collection[str]) -> None:
        """Note a sweep that went as far as it pays."""
        now = self._clock()
        with self._changed:
            for number, transcript_id in enumerate(unseen):
                watch = self._watches.get(transcript_id)
                if watch is not None:
                    self._watches.mark(watch, missing=True)
                    # The sweeps that it was put off for do not reach it. One goes at once, many are spread.
                    by_itself_at = now + number / len(unseen) * self._sweeps.interval_s
                    self._watches.enqueue(watch, min(watch.due, by_itself_at))
            left = [watch for watch in self._watches if watch.first <= now]
            most_s = min((watch.schedule.most_s for watch in left), default=math.inf)
            steady = [watch.schedule.after(now - watch.began, _least) for watch in left]
            mean_s = sum(steady) / len(steady) if steady else _LONE_S
            soonest_s = min(steady, default=_LONE_S)
            self._sweeps.done(pages, now, soonest_s=soonest_s, most_s=most_s, mean_s=mean_s, uniform=self._uniform)
            self._put_off.clear()
            self._awaits_sweep = False

    def _covered(self, seen: Iterable[Watch]) -> None:
        """Wait for the next sweep with what this one came upon."""
        now = self._clock()
        with self._changed:
            sweeping = self._sweeping(now)
            for watch in seen:
                if watch not in self._watches:
                    continue
                self._awaits_sweep = sweeping
                self._watches.mark(watch, missing=False)
                watch.failures = 0
                due = now + watch.schedule.after(now - watch.began, self._uniform)
                if not sweeping:
                    self._watches.enqueue(watch, due)  # The last few are asked for by themselves.
                    continue
                # Its entry in the queue stays where it is, and is moved when it comes up.
                watch.due = max(watch.due, due, now + _COVERED_FOR * self._sweeps.interval_s)

    def _sweep_failed(self, error: Exception) -> None:
        now = self._clock()
        if not isinstance(error, AssemblyAIError):
            log.error("The list of transcripts cannot be used.", exc_info=error)
        elif self._row.outlasts(error):
            self._paused_until = max(self._paused_until, now + self._row.grows(error, self._uniform))
            log.warning("%s Reading the list again later; nobody stops waiting.", error)
            self._sweeps.failed(now, self._uniform)
            return
        elif isinstance(error, AccountError) and not isinstance(error, ForbiddenError):
            with self._changed:
                everyone = list(self._watches)
            self._settle(everyone, error)
        else:  # A key may be allowed to read a transcript, and not the list.
            log.warning("%s Each transcript is asked for by itself.", error)
        self._sweeps.failed(now, self._uniform, usable=False)
        with self._changed:
            for watch in self._put_off.values():
                if watch in self._watches:
                    self._watches.enqueue(watch, now)
            self._put_off.clear()

    def _outlasts(self, error: AssemblyAIError, watch: Watch, age_s: float) -> bool:
        """Say whether the next look comes at its usual time after an error; if not, do what is to be done."""
        if self._row.outlasts(error):
            # Nothing was learnt, so this does not count as a look.
            self._look_again(watch, self._after_failure(error, watch, age_s))
            return False
        if isinstance(error, AccountError):
            with self._changed:
                everyone = list(self._watches)
            self._settle(everyone, error)
            return False
        if isinstance(error, TranscriptNotFoundError) and age_s < NOT_FOUND_PATIENCE_S:
            return True
        self._settle([watch], error)
        return False

    def _after_failure(self, error: AssemblyAIError, watch: Watch, age_s: float) -> float:
        """Return when to ask for this transcript again. Hold back all others, too, where they would fare no better."""
        watch.failures += 1
        now = self._clock()
        due = now + watch.schedule.after_failure(age_s, watch.failures, self._uniform)
        self._paused_until = max(self._paused_until, now + self._row.grows(error, self._uniform))
        log.warning("%s Asking again in %.1f s; nobody stops waiting.", error, max(due, self._paused_until) - now)
        return due

    def _settle(self, watches: Iterable[Watch], result: Result) -> None:
        self._settle_all((watch, result) for watch in watches)

    def _settle_all(self, ended: Iterable[tuple[Watch, Result]]) -> None:
        with self._changed:
            settled = [(watch, result) for watch, result in ended if watch in self._watches]
            for watch, _ in settled:
                self._watches.forget(watch)
            wake((waiter, watch.transcript_id, result) for watch, result in settled for waiter in watch.waiters)


def _least(low: float, high: float) -> float:
    """Draw what is without jitter."""
    return low
