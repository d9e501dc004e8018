"""One poll loop per account for every trigger of the process.

A triggerer may hold thousands of waits. A client, a session and a timer for each would use up the account's request
limit and the event loop. Here they share one thread, one HTTP session and one budget, and a wait costs a future.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol
from weakref import WeakValueDictionary

from airflow_asr.api.errors import AccountError, AssemblyAIError, TranscriptNotFoundError
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.look import NOT_FOUND_PATIENCE_S
from airflow_asr.jobs.pauses import FailureRow
from airflow_asr.jobs.schedule import PollSchedule, RequestBudget, Uniform, plan_round

log = logging.getLogger(__name__)


class Client(Protocol):
    """What the watcher needs of a client; one that does not retry, since the watcher has its own pace."""

    account: str

    def get(self, transcript_id: str) -> Transcript:
        """Return the transcript."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class _Waiter:
    """One ``await``, to be woken in the event loop that it belongs to."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[str] = self._loop.create_future()

    def wake(self, result: str | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, result)
        except RuntimeError:
            log.debug("A waiter's event loop is closed; nobody waits there any more.")

    def _settle(self, result: str | Exception) -> None:
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass(eq=False)
class _Watch:
    """One transcript and all who wait for it. Times are those of the watcher's clock, in seconds."""

    transcript_id: str
    schedule: PollSchedule
    began: float
    due: float
    waiters: list[_Waiter] = field(default_factory=list)
    failures: int = 0
    """Looks in a row that failed."""


# (due, tie-break, watch). An entry is stale once its watch is gone or due at another time.
_Entry = tuple[float, int, _Watch]


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
        self._watches: dict[str, _Watch] = {}
        self._queue: list[_Entry] = []  # A heap.
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._paused_until = 0.0
        self._row = FailureRow()

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
        waiter = _Waiter()
        self._add(transcript_id, schedule, waiter)
        try:
            return await waiter.future
        finally:
            self._remove(transcript_id, waiter)

    # Called in the event loops -------------------------------------------------------------------------------------

    def _add(self, transcript_id: str, schedule: PollSchedule, waiter: _Waiter) -> None:
        with self._changed:
            now = self._clock()
            due = now + schedule.first(self._uniform)
            watch = self._watches.get(transcript_id)
            if watch is None:
                watch = self._watches[transcript_id] = _Watch(transcript_id, schedule, now, due)
                self._enqueue(watch, due)
            elif due < watch.due:
                self._enqueue(watch, due)
            watch.waiters.append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="airflow-asr-watcher", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _remove(self, transcript_id: str, waiter: _Waiter) -> None:
        with self._changed:
            watch = self._watches.get(transcript_id)
            if watch is None or waiter not in watch.waiters:
                return
            watch.waiters.remove(waiter)
            if not watch.waiters:
                del self._watches[transcript_id]
                self._changed.notify()

    # Called in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        log.info("Watching transcripts of account %s.", self._client.account)
        while (due := self._wait_for_due()) is not None:
            by_id = {watch.transcript_id: watch for watch in due}
            for transcript_id in plan_round(list(by_id)).gets:
                watch = by_id[transcript_id]
                if self._paused_until <= self._clock():
                    self._look(watch)
                else:
                    self._look_again(watch, watch.due)  # It keeps its turn.
        log.info("Nobody waits for transcripts of account %s any more.", self._client.account)

    def _wait_for_due(self) -> list[_Watch] | None:
        """Return the watches to look at now, or None when nobody waits and the thread must end."""
        with self._changed:
            while self._watches:
                due = self._take_due()
                if due:
                    return due
                self._changed.wait(self._seconds_to_next())
            # Under the same lock as the last look at the watches: whoever comes next sees that it must start a thread.
            self._thread = None
            self._queue.clear()
            self._client.close()
            return None

    def _take_due(self) -> list[_Watch]:
        now = self._clock()
        taken: list[_Watch] = []
        allowed = self._budget.allowance(now) if now >= self._paused_until else 0
        while self._queue and (self._stale(self._queue[0]) or (self._queue[0][0] <= now and len(taken) < allowed)):
            entry = heapq.heappop(self._queue)
            if not self._stale(entry):
                taken.append(entry[2])
        return taken

    def _seconds_to_next(self) -> float | None:
        """Return when to wake, in seconds; None if only a change can give something to do."""
        if not self._queue:
            return None
        now = self._clock()
        return max(self._queue[0][0] - now, self._paused_until - now, self._budget.wait_s(now), 0.001)

    def _stale(self, entry: _Entry) -> bool:
        due, _, watch = entry
        return self._watches.get(watch.transcript_id) is not watch or watch.due != due

    def _enqueue(self, watch: _Watch, due: float) -> None:
        watch.due = due
        heapq.heappush(self._queue, (due, next(self._order), watch))

    def _look_again(self, watch: _Watch, due: float) -> None:
        with self._changed:
            if self._watches.get(watch.transcript_id) is watch:
                self._enqueue(watch, due)

    def _look(self, watch: _Watch) -> None:
        with self._changed:
            if self._watches.get(watch.transcript_id) is not watch:
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

    def _outlasts(self, error: AssemblyAIError, watch: _Watch, age_s: float) -> bool:
        """Say whether the next look comes at its usual time after an error; if not, do what is to be done."""
        if self._row.outlasts(error):
            # Nothing was learnt, so this does not count as a look.
            self._look_again(watch, self._after_failure(error, watch, age_s))
            return False
        if isinstance(error, AccountError):
            with self._changed:
                everyone = list(self._watches.values())
            self._settle(everyone, error)
            return False
        if isinstance(error, TranscriptNotFoundError) and age_s < NOT_FOUND_PATIENCE_S:
            return True
        self._settle([watch], error)
        return False

    def _after_failure(self, error: AssemblyAIError, watch: _Watch, age_s: float) -> float:
        """Return when to ask for this transcript again. Hold back all others, too, where they would fare no better."""
        watch.failures += 1
        now = self._clock()
        due = now + watch.schedule.after_failure(age_s, watch.failures, self._uniform)
        self._paused_until = max(self._paused_until, now + self._row.grows(error, self._uniform))
        log.warning("%s Asking again in %.1f s; nobody stops waiting.", error, max(due, self._paused_until) - now)
        return due

    def _settle(self, watches: list[_Watch], result: str | Exception) -> None:
        with self._changed:
            for watch in watches:
                if self._watches.get(watch.transcript_id) is watch:
                    del self._watches[watch.transcript_id]
                for waiter in watch.waiters:
                    waiter.wake(result)
