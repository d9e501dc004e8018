"""Carries an archive to text, in rounds: collect what has ended, send more, wait.

Each try begins with :meth:`Batch.begin`, which compares the archive with what is there and goes on with what is open.
:meth:`Batch.go_on` comes after each wait, in the same process or in another one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple, TypedDict

from airflow_asr.api.errors import BatchFailuresError, BudgetError, OutputError
from airflow_asr.jobs.batch.budget import HOUR_S
from airflow_asr.jobs.batch.collecting import Collecting
from airflow_asr.jobs.batch.desk import Desk, Flight
from airflow_asr.jobs.batch.ledger import Window
from airflow_asr.jobs.batch.others import OtherRuns
from airflow_asr.jobs.batch.plan import Plan
from airflow_asr.jobs.batch.planning import Planned, Planning
from airflow_asr.jobs.batch.progress import progress
from airflow_asr.jobs.batch.reconciling import Reconciling
from airflow_asr.jobs.batch.rows import Rows
from airflow_asr.jobs.batch.sending import Sending
from airflow_asr.jobs.manifest import Totals, write_manifest
from airflow_asr.jobs.open_jobs import OpenJobs

log = logging.getLogger(__name__)

_BLOCKED_S = 60.0
_NOT_THEIR_FAULT = frozenset({"service", "unknown", "url", "record"})


class BatchSummary(TypedDict):
    """A batch in a few hundred bytes: a plain dict, because Airflow reads back no class of ours.

    Attributes:
        manifest: URI of the manifest as JSON lines; a row for each recording. None after a dry run.
        parquet: URI of the same as Parquet; None if pyarrow is not installed.
        output_path: URI of the folder of the outputs.
        files: recordings of the archive.
        completed: those that have a transcript.
        new: those of them that this run transcribed.
        failed: those that have none.
        left: those that were not sent, because of the budget; after a dry run, those that would be.
        submitted: jobs that were sent.
        audio_hours: of the completed recordings; after a dry run, of those whose length is known.
        cost: of what this run transcribed; None without prices. After a dry run, what it would cost, as far as known.
    """

    manifest: str | None
    parquet: str | None
    output_path: str
    files: int
    completed: int
    new: int
    failed: int
    left: int
    submitted: int
    audio_hours: float
    cost: float | None


class BatchWaiting(NamedTuple):
    """Nothing can be done just now.

    Attributes:
        transcript_ids: the jobs that are under way.
        refill_at: how many of them must have ended for the batch to go on.
        wake_at: when it goes on in any case, in seconds since the epoch.
        left_s: seconds until the batch has used up its time.
    """

    transcript_ids: list[str]
    refill_at: int
    wake_at: float
    left_s: float


class Batch:
    """Carries one order of one task instance.

    Args:
        desk: its means.
        formats: the outputs that are wanted.
        singles: the open jobs of single recordings in the same folder.
    """

    def __init__(self, desk: Desk, formats: tuple[str, ...], singles: OpenJobs) -> None:
        self._desk = desk
        self._plan = Plan(desk)
        self._rows = Rows(desk)
        self._others = OtherRuns(desk, singles)
        self._planning = Planning(desk, self._plan, self._rows, formats)
        self._sending = Sending(desk, self._plan, self._rows, self._others)
        self._collecting = Collecting(desk, self._plan, self._rows)
        self._reconciling = Reconciling(desk, self._plan, self._rows)

    def begin(self) -> BatchSummary | BatchWaiting:
        """Plan, and go as far as possible without waiting.

        Raises:
            AccountError: the account or the key must change. Nothing more was spent.
            BudgetError: the budget does not suffice.
            BatchFailuresError: the batch has ended, and more recordings failed than are allowed.
            AssemblyAIError: it cannot go on, and why; a retry goes on with what is under way.
        """
        self._recover()
        planned = self._planning.make()
        if self._desk.order.dry_run:
            return self._dry(planned)
        log.info(
            "%s: %d recordings, %d of them there already, %d to transcribe, %d under way.",
            self._desk.order.archive.root,
            self._desk.state["files"],
            self._desk.state["there"],
            planned.files,
            self._desk.in_flight,
        )
        return self._round(())

    def resume(self) -> None:
        """Go on in another process where :meth:`begin` or :meth:`go_on` left off."""
        self._recover()

    def go_on(self, ended: Iterable[str]) -> BatchSummary | BatchWaiting:
        """Collect what has ended, send more, and go as far as possible without waiting. Errors as for :meth:`begin`.

        Args:
            ended: transcripts that have ended, as far as anybody knows.
        """
        return self._round(ended)

    # Rounds --------------------------------------------------------------------------------------------------------

    def _round(self, ended: Iterable[str]) -> BatchSummary | BatchWaiting:
        desk = self._desk
        self._collecting.collect(ended)
        if self._reconciling.worth_a_look():
            self._reconciling.look()
        if self._left_s() > 0:
            self._sending.send(desk.clock() + desk.order.limits.max_round_s)
        if self._reconciling.worth_a_look():
            self._reconciling.look()  # Most of what was accepted without a reply is listed by now.
        over = not desk.in_flight and (self._plan.empty or self._sending.over_budget)
        if not over:
            self._plan.keep()
        self._rows.write()
        if over:
            return self._finish()
        desk.fence()
        log.info("%s", progress(desk, self._sending.blocked))
        return self._waiting()

    def _left_s(self) -> float:
        """Return the seconds that are left. They count from the first submission, over all tries."""
        now = self._desk.clock()
        return self._desk.state.get("began", now) + self._desk.order.wait_timeout_s - now

    def _waiting(self) -> BatchWaiting:
        desk, limits = self._desk, self._desk.order.limits
        now = desk.clock()
        times = [now + limits.max_round_s, now + self._left_s()]
        next_look = self._reconciling.next_look()
        if next_look is not None:
            times.append(next_look)
        more = not self._plan.empty
        if more and (self._sending.blocked is not None):
            times.append(now + _BLOCKED_S)
        ids = list(desk.by_id)
        refill_at = limits.refill_count(len(ids)) if more else max(len(ids), 1)
        # Airflow 3.3.2 fails a task whose trigger fires before the scheduler has handled its deferral.
        return BatchWaiting(ids, refill_at, max(min(times), now + limits.first_poll_s), self._left_s())

    def _finish(self) -> BatchSummary:
        desk, order = self._desk, self._desk.order
        for todo in self._plan.rest():
            self._rows.left(todo.item, todo.fp)
            self._rows.write_full()
        self._rows.write()
        desk.fence()  # A worker that was taken for dead must not write over its successor's manifest.
        uri, parquet, totals = write_manifest(order.folder, order.manifest, self._rows.kept())
        desk.ledger.clear_parts(desk.record.try_number)
        summary = self._summary(uri, parquet, totals)
        log.info("The manifest is %s.", uri)
        self._judge(summary, totals)
        return summary

    def _judge(self, summary: BatchSummary, totals: Totals) -> None:
        """Raise if the batch is not as its user wants it."""
        order = self._desk.order
        if summary["left"]:
            raise BudgetError(
                f"{order.archive.root}: {summary['left']} of {summary['files']} recordings were not sent, because the "
                f"budget of {order.budget.text()} is used up. {summary['completed']} have a transcript; "
                f"{summary['manifest']} names all. Raise the budget and clear the task: it pays for nothing twice."
            )
        allowed = order.max_failures
        most = allowed if isinstance(allowed, int) else allowed * summary["files"]
        if summary["failed"] > most:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(totals["failures"].items()))
            raise BatchFailuresError(
                f"{order.archive.root}: {summary['failed']} of {summary['files']} recordings failed ({kinds}), and "
                f"`max_failures` allows {allowed}. {summary['completed']} have a transcript. {summary['manifest']} "
                "says which failed, and why. Mend or remove them, or raise `max_failures`; nothing is paid for twice.",
                retryable=bool(totals["failures"].keys() & _NOT_THEIR_FAULT),
            )

    def _summary(self, uri: str, parquet: str | None, totals: Totals) -> BatchSummary:
        return BatchSummary(
            manifest=uri,
            parquet=parquet,
            output_path=str(self._desk.order.folder),
            files=totals["files"],
            completed=totals["completed"],
            new=totals["new"],
            failed=totals["failed"],
            left=totals["left"],
            submitted=self._desk.state["submitted"],
            audio_hours=round(totals["seconds"] / HOUR_S, 4),
            cost=self._desk.state["spent"]["cost"] if self._desk.order.budget.prices else None,
        )

    def _dry(self, planned: Planned) -> BatchSummary:
        state, order = self._desk.state, self._desk.order
        unknown = f", and {planned.unknown} recordings whose length nobody knows yet" if planned.unknown else ""
        money = "no prices were given" if planned.cost is None else f"it costs {planned.cost:.2f} for what is known"
        log.info(
            "Dry run of %s: %d recordings, %d there already, %d failed before, %d to transcribe: %.2f hours of "
            "audio%s; %s. Nothing was submitted or written.",
            order.archive.root,
            state["files"],
            state["there"],
            state["failed"],
            planned.files,
            planned.seconds / HOUR_S,
            unknown,
            money,
        )
        return BatchSummary(
            manifest=None,
            parquet=None,
            output_path=str(order.folder),
            files=state["files"],
            completed=state["there"],
            new=0,
            failed=state["failed"],
            left=planned.files,
            submitted=0,
            audio_hours=round(planned.seconds / HOUR_S, 4),
            cost=planned.cost,
        )

    # Recovery ------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Take up what an earlier try, or this one before it waited, has under way.

        Raises:
            OutputError: the ledger cannot be read, or a part of it is gone.
        """
        desk = self._desk
        kept = desk.state["windows"]
        found = {window.name: window for window in self._others.learn(desk.ledger.names())}
        for name, bits in list(kept.items()):
            if bits < 0:
                del kept[name]  # It was never sent.
            elif name not in found:
                raise OutputError(
                    f"The ledger of this batch is not where it was: {desk.order.folder} has no {name}, which "
                    "holds jobs that are paid for. Is the output folder shared by all workers, and was nothing deleted "
                    "in it? Nothing was submitted."
                )
        for name, window in found.items():
            if name in kept:
                self._take_up(window, kept[name])
            elif desk.ledger.try_of(name) <= desk.record.try_number:
                desk.ledger.drop(window)  # All of it has ended, or nothing of it was sent.

    def _take_up(self, window: Window, bits: int) -> None:
        desk = self._desk
        desk.windows[window.name] = window
        for index, job in enumerate(window.jobs):
            bit = 1 << index
            if not bits & bit:
                continue
            if job["fp"] in window.rejected:
                desk.close(window.name, bit)
                continue
            desk.fly(Flight(job, window.name, bit), window.ids.get(job["fp"]))
            desk.reserve(desk.items_of([job])[0], job["fp"])
