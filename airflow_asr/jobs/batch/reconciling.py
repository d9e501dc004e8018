"""Finds out what became of submissions whose end nobody saw, all with one walk of the service's list."""

from __future__ import annotations

import logging

from airflow_asr.api.errors import AccountError, AssemblyAIError, SubmitOutcomeUnknownError
from airflow_asr.jobs.batch.desk import Desk, Flight, Todo
from airflow_asr.jobs.batch.ledger import Job
from airflow_asr.jobs.batch.plan import Plan
from airflow_asr.jobs.batch.rows import Rows
from airflow_asr.jobs.batch.sending import ANNOUNCE_S
from airflow_asr.jobs.search import HORIZON_S, MALFORMED, JobSearch
from airflow_asr.jobs.sending import FENCE_S

log = logging.getLogger(__name__)

# A window's requests may go out later after its intent than that of a single recording.
_HORIZON_S = HORIZON_S - FENCE_S + ANNOUNCE_S
_FIRST_LOOK_S = 2.0
_TOGETHER_S = 30.0


class Reconciling:
    """Looks for jobs.

    Args:
        desk: the means.
        plan: takes what was surely not submitted.
        rows: takes what cannot be told.
    """

    def __init__(self, desk: Desk, plan: Plan, rows: Rows) -> None:
        self._desk = desk
        self._plan = plan
        self._rows = rows
        self._search = JobSearch(desk.client, clock=desk.clock, sleep=desk.sleep)

    def look(self) -> None:
        """Look once for all of them.

        Raises:
            AccountError: the account or the key must change.
            RecordError: this try is over.
        """
        desk = self._desk
        if not desk.unclear:
            return
        began = desk.now()
        flights = dict(desk.unclear)
        windows = set()
        try:
            jobs = [flight.job for flight in flights.values()]
            for job, found in self._search.look_for(jobs, self._config_of):
                flight = flights.pop(job["fp"])
                if isinstance(found, SubmitOutcomeUnknownError):
                    self._cannot_be_told(flight, found)
                    continue
                desk.fly(flight, found)
                desk.windows[flight.window].ids[job["fp"]] = found
                windows.add(flight.window)
        except AccountError:
            raise
        except (AssemblyAIError, *MALFORMED) as error:
            log.warning("What was submitted could not be looked for: %s It is looked for again later.", error)
        else:
            self._absent([flight for flight in flights.values() if began - flight.job["intent_at"] >= _HORIZON_S])
        for name in windows:
            desk.ledger.tell(desk.windows[name])

    def next_look(self) -> float | None:
        """Return when to look again, in seconds since the epoch; None if there is nothing to look for."""
        sent = sorted(flight.job["intent_at"] for flight in self._desk.unclear.values())
        if not sent:
            return None
        # Those that were sent soon after each other are looked for together.
        last = max(each for each in sent if each - sent[0] <= _TOGETHER_S)
        ahead_s = self._desk.now() - self._desk.clock()
        return last + _HORIZON_S + 1.0 - ahead_s

    def worth_a_look(self) -> bool:
        """Say whether a submission is old enough to be listed by now, if it was accepted."""
        if not self._desk.unclear:
            return False  # To tell the service's time may take a request.
        now = self._desk.now()
        return any(now - flight.job["intent_at"] >= _FIRST_LOOK_S for flight in self._desk.unclear.values())

    def _absent(self, flights: list[Flight]) -> None:
        """Send again what can no longer appear in the list."""
        desk = self._desk
        items = desk.items_of(flight.job for flight in flights)
        for flight, item in zip(flights, items, strict=True):
            job = flight.job
            try:
                self._search.check_conclusive(job)
            except SubmitOutcomeUnknownError as error:
                self._cannot_be_told(flight, error)
                continue
            desk.land(flight, None)
            if item.source is not None:
                self._plan.put_back([Todo(item, job["fp"], job["base"], tuple(job["prior"]))])
        if flights:
            log.info("%d submissions whose end nobody saw made no job.", len(flights))

    def _cannot_be_told(self, flight: Flight, error: SubmitOutcomeUnknownError) -> None:
        """Note as failed what may be paid for and cannot be found. It stays open in the ledger, so nobody sends it."""
        del self._desk.unclear[flight.job["fp"]]
        self._desk.meter.release(flight.job["fp"])
        self._rows.failed(self._desk.items_of([flight.job])[0], flight.job["fp"], error)

    def _config_of(self, job: Job) -> dict[str, object]:
        return self._desk.config_of(self._desk.items_of([job])[0])
