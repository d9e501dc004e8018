"""Sends the jobs of a batch: uploads or signs ahead, announces a window, fences it, sends each once, tells the end."""

from __future__ import annotations

import logging
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from airflow_asr.api.errors import (
    AccountError,
    AssemblyAIError,
    RateLimitError,
    RecordError,
    RequestError,
    ServiceError,
    SubmitOutcomeUnknownError,
    UnreachableError,
)
from airflow_asr.jobs.batch.desk import Desk, Flight, Todo
from airflow_asr.jobs.batch.ledger import WINDOW_JOBS, Job, Window
from airflow_asr.jobs.batch.others import OtherRuns, Theirs
from airflow_asr.jobs.batch.plan import Plan
from airflow_asr.jobs.batch.rows import Rows
from airflow_asr.jobs.delivery import Delivery
from airflow_asr.jobs.search import url_hash
from airflow_asr.jobs.sending import FENCE_S

log = logging.getLogger(__name__)

_AHEAD = 2 * WINDOW_JOBS  # Recordings that are uploaded or signed before their window's turn.
_GATHER_S = 1.0
ANNOUNCE_S = 30.0  # From when a window is written to its last request.
# So many failures in a row are not the fault of one recording. So many tries to upload one are enough for a run.
_ROW_OF_AN_OUTAGE = 10
_DELIVERIES = 3
_IDLE_WINDOWS = 5


class _LateError(RecordError):
    """The fence was too old when the request's turn came. Nothing was sent."""


class Sending:
    """Sends what the plan holds, as far as limits, ramp and budget let it.

    Args:
        desk: the means.
        plan: what is to be sent.
        rows: takes what failed.
        others: tells of other runs' jobs.
    """

    def __init__(self, desk: Desk, plan: Plan, rows: Rows, others: OtherRuns) -> None:
        self._desk = desk
        self._plan = plan
        self._rows = rows
        self._others = others
        self._delivering: dict[Future[Delivery], Todo] = {}
        self._ready: list[Todo] = []
        self._found: list[Theirs] = []
        self._failures = 0  # In a row, of the service or of what is between.
        self._idle_windows = 0  # In a row, of which nothing was accepted.
        self.blocked: AssemblyAIError | None = None
        """Why nothing can be sent for a while."""
        self.over_budget = False
        """Whether what is left does not fit into the budget."""

    def send(self, until: float) -> None:
        """Send until nothing more may be sent now, or a time has come.

        Args:
            until: when to stop sending, by the clock.

        Raises:
            AccountError: the account or the key must change; nothing more is sent.
            RecordError: this try is over.
            RequestError: the request is wrong, and would be for every other recording.
        """
        self.blocked, self._failures, self._idle_windows = None, 0, 0
        with self._desk.threads(WINDOW_JOBS) as posts, self._desk.threads(WINDOW_JOBS) as uploads:
            try:
                while self.blocked is None and self._desk.clock() < until and self._gather(uploads):
                    self._send_window(posts)
            finally:
                for todo in self._delivering.values():
                    self._desk.meter.release(todo.fp)
                self._plan.put_back([*self._ready, *self._delivering.values()])
                self._ready.clear()
                self._delivering.clear()

    # Delivering ----------------------------------------------------------------------------------------------------

    def _gather(self, uploads: ThreadPoolExecutor) -> bool:
        """Get a window of recordings ready; say whether there is one."""
        while True:
            self._deliver_more(uploads)
            self._others.adopt(self._found)
            self._found.clear()
            if len(self._ready) >= WINDOW_JOBS or not self._delivering or self.blocked:
                return bool(self._ready)
            done, _ = wait(self._delivering, timeout=_GATHER_S, return_when=FIRST_COMPLETED)
            if not done and self._ready:
                return True
            for future in done:
                self._delivered(self._delivering.pop(future), future)

    def _deliver_more(self, uploads: ThreadPoolExecutor) -> None:
        limits = self._desk.order.limits
        while not self.blocked:
            waiting = len(self._delivering) + len(self._ready) + len(self._found)
            if waiting >= _AHEAD or waiting + self._desk.in_flight >= limits.max_in_flight:
                return
            todo = self._next()
            if todo is None:
                return
            theirs = self._others.claim(todo.item, todo.fp, todo.base, todo.prior)
            if theirs is not None:
                self._found.append(theirs)
            elif todo.delivery is not None:
                self._ready.append(todo)
            else:
                self._delivering[uploads.submit(self._deliver, todo)] = todo

    def _next(self) -> Todo | None:
        """Return the next recording that the budget has room for."""
        todo = self._plan.take()
        if todo is None or todo.delivery is not None:
            return todo
        desk, item = self._desk, todo.item
        if desk.meter.admits(desk.estimate_s(item), desk.config_of(item)):
            desk.reserve(item, todo.fp)
            return todo
        self._plan.put_back([todo])
        self.over_budget = not desk.meter.under_way
        return None

    def _deliver(self, todo: Todo) -> Delivery:
        if todo.item.source is None:
            raise todo.item.problem or RequestError(f"{todo.item.location} cannot be read.")
        return todo.item.source.deliver(self._desk.my_client())

    def _delivered(self, todo: Todo, future: Future[Delivery]) -> None:
        try:
            delivery = future.result()
        except AssemblyAIError as error:
            self._desk.meter.release(todo.fp)
            self._refused(todo, error)
            return
        self._failures = 0
        self._ready.append(replace(todo, delivery=delivery))

    def _refused(self, todo: Todo, error: AssemblyAIError) -> None:
        """Note that a recording could not be made ready; stop where no other could be, either."""
        if isinstance(error, AccountError):
            raise error
        if isinstance(error, ServiceError):
            self._failures += 1
            if self._failures >= _ROW_OF_AN_OUTAGE:
                self.blocked = error
            if self.blocked or todo.failures + 1 < _DELIVERIES:
                log.warning("%s", error)
                self._plan.put_back([replace(todo, failures=todo.failures + (not self.blocked))])
                return
        self._rows.failed(todo.item, todo.fp, error)

    # Sending -------------------------------------------------------------------------------------------------------

    def _send_window(self, posts: ThreadPoolExecutor) -> None:
        count = self._allowed()
        if not count:
            return
        todos, self._ready = self._ready[:count], self._ready[count:]
        desk = self._desk
        latest = desk.elapsed() + ANNOUNCE_S
        desk.state.setdefault("began", desk.clock())
        name = desk.record.name()
        # The index first: the next try then knows of a window that it does not find.
        desk.state["windows"][desk.ledger.window_name(name)] = -1
        desk.fence()
        window = desk.ledger.announce(name, [self._job(todo) for todo in todos])
        desk.windows[window.name] = window
        desk.state["windows"][window.name] = (1 << len(todos)) - 1
        taken = self._others.take_over(window, [todo.item for todo in todos])
        latest = min(latest, desk.fence() + FENCE_S)
        requests = {
            posts.submit(self._post, todo, job, latest): (todo, Flight(job, window.name, 1 << index))
            for index, (todo, job) in enumerate(zip(todos, window.jobs, strict=True))
            if job["fp"] not in taken
        }
        for _, flight in requests.values():
            desk.fly(flight, None)  # From here on there may be a job.
        self._settle(window, requests)

    def _settle(self, window: Window, requests: dict[Future[str], tuple[Todo, Flight]]) -> None:
        """Note how each request ended, and decide how to go on."""
        again: list[Todo] = []
        refused: list[tuple[Todo, AssemblyAIError]] = []
        failure: AssemblyAIError | None = None
        accepted = 0
        self._count(len(requests))
        for future, (todo, flight) in requests.items():
            try:
                transcript_id = window.ids[todo.fp] = future.result()
            except SubmitOutcomeUnknownError as error:
                log.warning("%s: %s", todo.item.shown, error)
                failure = error
            except AssemblyAIError as error:
                window.rejected.add(todo.fp)
                self._desk.land(flight, None)
                if isinstance(error, _LateError | RateLimitError | UnreachableError):
                    failure = error
                    again.append(todo)
                else:
                    refused.append((todo, error))
            else:
                accepted += 1
                self._desk.fly(flight, transcript_id)
        self._desk.state["submitted"] += accepted
        self._desk.ledger.tell(window)
        self._plan.put_back(again)
        for todo in again:
            self._desk.reserve(todo.item, todo.fp)
        self._refuse(refused)
        if failure is not None:
            self._pause(failure, accepted)

    def _refuse(self, refused: list[tuple[Todo, AssemblyAIError]]) -> None:
        """Note as failed what the service does not take; raise where it would take no other, either."""
        for todo, error in refused:
            if isinstance(error, AccountError):
                raise error
            # Nothing was ever accepted, so it is what all have in common, most likely.
            if isinstance(error, RequestError) and not todo.item.config and not self._desk.state["submitted"]:
                raise error.concerning(todo.item.shown)
        for todo, error in refused:
            self._rows.failed(todo.item, todo.fp, error)

    def _pause(self, failure: AssemblyAIError, accepted: int) -> None:
        """Wait before the next window as long as the service asks, and longer while it accepts nothing."""
        self._idle_windows = 0 if accepted else self._idle_windows + 1
        if self._idle_windows >= _IDLE_WINDOWS:
            self.blocked = failure
            return
        wait_s = max(failure.retry_after or 0.0, 2.0**self._idle_windows - 1)
        if wait_s > 0:
            log.warning("%s Sending goes on in %.0f s.", failure, wait_s)
            self._desk.sleep(min(wait_s, self._desk.retry.retry_after_cap_s))

    def _post(self, todo: Todo, job: Job, latest: float) -> str:
        if todo.delivery is None:  # It was made ready before its window was formed.
            raise _LateError(f"{todo.item.location} was not ready.")
        if self._desk.elapsed() > latest:
            raise _LateError(f"{todo.item.location}: its turn came too late after the fence. Nothing was sent.")
        transcript = self._desk.my_client().submit(todo.delivery.url, self._desk.config_of(todo.item))
        if transcript.audio_url not in (None, todo.delivery.url):
            job["unmatched"] = True
        log.debug("Submitted %s: transcript %s.", job["audio"], transcript.id)
        return transcript.id

    def _job(self, todo: Todo) -> Job:
        delivery, source = todo.delivery, todo.item.source
        return Job(
            fp=todo.fp,
            audio=todo.item.location,
            base=todo.base,
            entry=todo.item.entry(),
            url_sha256=url_hash(delivery.url if delivery else ""),
            shared_url=source is not None and source.shared_url,
            intent_at=self._desk.now(),
            account=self._desk.client.account,
            prior=list(todo.prior),
        )

    # Pace ----------------------------------------------------------------------------------------------------------

    def _allowed(self) -> int:
        """Return how many jobs may be sent now, after waiting for the ramp's next window if it is used up."""
        ramp, desk = self._desk.order.limits.ramp, self._desk
        if ramp is None:
            return min(WINDOW_JOBS, len(self._ready))
        now = desk.clock()
        state = desk.state["ramp"] = ramp.at(desk.state.get("ramp"), now)
        if not ramp.allowed(state):
            desk.sleep(ramp.wait_s(state, now))
            state = desk.state["ramp"] = ramp.at(state, desk.clock())
        return min(WINDOW_JOBS, len(self._ready), ramp.allowed(state))

    def _count(self, sent: int) -> None:
        if "ramp" in self._desk.state:
            self._desk.state["ramp"] = {**self._desk.state["ramp"], "sent": self._desk.state["ramp"]["sent"] + sent}
