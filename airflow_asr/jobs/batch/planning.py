"""Compares the archive with what the output folder holds already, and plans the rest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_asr.api.errors import BudgetError
from airflow_asr.jobs.archive import ArchiveItem
from airflow_asr.jobs.batch.budget import HOUR_S
from airflow_asr.jobs.batch.desk import Desk, Todo
from airflow_asr.jobs.batch.plan import PART, Plan
from airflow_asr.jobs.batch.rows import Rows
from airflow_asr.jobs.catalogue import Catalogue
from airflow_asr.jobs.fingerprint import fingerprint
from airflow_asr.jobs.manifest import ManifestRow, read_rows
from airflow_asr.jobs.names import output_name

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)


class Planned(NamedTuple):
    """What is to be done, as far as anybody can know.

    Attributes:
        files: recordings to be sent.
        seconds: of audio in those whose length is known.
        unknown: how many have a length that nobody knows.
        cost: of those whose length is known; None without prices.
    """

    files: int
    seconds: float
    unknown: int
    cost: float | None


class Planning:
    """Makes the plan of a try.

    Args:
        desk: the means.
        plan: takes what is to be sent.
        rows: takes what is done, or cannot be.
        formats: the outputs that are wanted.
    """

    def __init__(self, desk: Desk, plan: Plan, rows: Rows, formats: tuple[str, ...]) -> None:
        self._desk = desk
        self._plan = plan
        self._rows = rows
        self._formats = formats

    def make(self) -> Planned:
        """Go through the archive once.

        Raises:
            BudgetError: it is known beforehand that it does not fit into the budget. Nothing was submitted.
            AssemblyAIError: the archive or the output folder cannot be read.
        """
        desk, state, order = self._desk, self._desk.state, self._desk.order
        order.budget.hour(order.config)  # A price that is missing is said before anything else.
        state.update({"todo": [], "used": 0, "files": 0, "there": 0, "failed": 0})
        files, seconds, unknown, cost = 0, 0.0, 0, 0.0
        part: list[Todo] = []
        with Catalogue(order.folder, self._formats) as catalogue:
            self._learn(catalogue)
            self._land_finished(catalogue)
            for todo in self._unfinished(catalogue):
                files += 1
                length = todo.item.seconds
                if length is None:
                    length = catalogue.seconds(todo.item.location, todo.item.bytes)
                    todo = replace(todo, item=replace(todo.item, seconds=length))
                seconds += length or 0.0
                unknown += length is None
                cost += order.budget.cost(length or 0.0, desk.config_of(todo.item)) or 0.0
                if order.dry_run:
                    continue
                part.append(todo)
                if len(part) >= PART:
                    self._plan.append(part)
                    part.clear()
        if part:
            self._plan.append(part)
        planned = Planned(files, seconds, unknown, cost if order.budget.prices else None)
        self._check(planned)
        if not order.dry_run:
            self._rows.write()
        return planned

    def _learn(self, catalogue: Catalogue) -> None:
        earlier = self._desk.order.folder / f"{self._desk.order.manifest}.jsonl"
        # What an earlier run did is not new; what an earlier try of this one did, is.
        catalogue.learn({**row, "new": False} for row in _rows_of(earlier))
        for part in self._rows.kept():
            catalogue.learn(part)

    def _land_finished(self, catalogue: Catalogue) -> None:
        """Close the jobs whose outputs are there: the try before this one died before it could."""
        desk = self._desk
        for transcript_id, flight in [*desk.by_id.items(), *((None, each) for each in desk.unclear.values())]:
            row = catalogue.done(flight.job["base"], flight.job["fp"])
            if row is not None:
                self._rows.add({**row, "new": True})
                desk.land(flight, transcript_id)

    def _unfinished(self, catalogue: Catalogue) -> Iterator[Todo]:
        desk, state = self._desk, self._desk.state
        under_way = {flight.job["fp"] for flight in (*desk.by_id.values(), *desk.unclear.values())}
        base_url = desk.client.base_url
        for item in desk.order.archive.items():
            state["files"] += 1
            if item.source is None:
                if item.problem is not None:
                    self._rows.failed(item, "", item.problem)
                continue
            fp = fingerprint(base_url, item.source.identity, desk.config_of(item))
            base = output_name(item.source.name, item.source.location)
            if fp in under_way:
                continue
            row = catalogue.done(base, fp)
            if row is None:
                row = self._hopeless(catalogue, item, fp)
            if row is None:
                yield Todo(item, fp, base)
                continue
            state["there"] += row["status"] == "completed"
            self._rows.add({**row, "key": item.key})
            self._rows.write_full()

    def _hopeless(self, catalogue: Catalogue, item: ArchiveItem, fp: str) -> ManifestRow | None:
        """Return the row of a recording that failed before, by its own fault, and has not changed since."""
        row = catalogue.hopeless(fp)
        if row is not None:
            self._desk.state["failed"] += 1
            log.info("%s failed before and has not changed since: %s", item.shown, row["error"])
        return row

    def _check(self, planned: Planned) -> None:
        budget = self._desk.order.budget
        if not budget.allows(planned.seconds, planned.cost):
            money = "" if planned.cost is None else f", and {planned.cost:.2f} in money,"
            raise BudgetError(
                f"{self._desk.order.archive.root}: what is left to transcribe takes {planned.seconds / HOUR_S:.2f} "
                f"hours of audio{money} at least; the budget allows {budget.text()}. Nothing was submitted. Raise the "
                "budget, or name fewer recordings."
            )


def _rows_of(path: UPath) -> Iterator[ManifestRow]:
    try:
        yield from read_rows(path)
    except FileNotFoundError:
        return
