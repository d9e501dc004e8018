"""What other runs have under way in the same output folder, so that a recording is not paid for by two of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from airflow_asr.jobs.archive import ArchiveItem
from airflow_asr.jobs.batch.desk import Desk, Flight
from airflow_asr.jobs.batch.ledger import WINDOW_JOBS, Job, Window
from airflow_asr.jobs.open_jobs import OpenJob, OpenJobs
from airflow_asr.jobs.sending import FENCE_S, FENCES

log = logging.getLogger(__name__)


class Theirs(NamedTuple):
    """A submission of another run.

    Attributes:
        job: what is known of it, as a job of ours.
        transcript_id: its transcript; without one nobody knows whether there is any.
    """

    job: Job
    transcript_id: str | None


class OtherRuns:
    """Finds submissions of other runs, and takes them over.

    Args:
        desk: the ledger, and what is under way.
        singles: the open jobs of single recordings in the same folder.
    """

    def __init__(self, desk: Desk, singles: OpenJobs) -> None:
        self._desk = desk
        self._singles = singles
        self._seen: set[str] = set()
        self._open: dict[str, list[Theirs]] = {}
        self._single_fps: set[str] = set()

    def learn(self, names: Iterable[str]) -> list[Window]:
        """Read the windows among these names that were not seen before. Return this task instance's own.

        Raises:
            OutputError: one cannot be read.
        """
        names = set(names)
        fresh = names - self._seen
        self._single_fps |= {name.partition("-")[0] for name in fresh if name.endswith((".intent.json", ".job.json"))}
        # What became of a window may be told in objects that came later than the window itself.
        stems = {name.removesuffix(".window.json") for name in fresh if name.endswith(".window.json")}
        of_fresh = [name for name in names if any(name.startswith(f"{stem}.") for stem in stems)]
        ours = []
        for window in self._desk.ledger.windows(of_fresh):
            if self._desk.ledger.ours(window.name):
                ours.append(window)
                continue
            for job in window.jobs:
                if job["fp"] not in window.rejected:
                    self._open.setdefault(job["fp"], []).append(Theirs(job, window.ids.get(job["fp"])))
        self._seen |= names
        return ours

    def claim(self, item: ArchiveItem, fp: str, base: str, prior: Sequence[str]) -> Theirs | None:
        """Return another run's submission of a recording, each once; None if there is none that may have a result.

        There may be several, one sent after the other had failed. Nothing is sent before the last is looked into.

        Raises:
            OutputError: the folder cannot be read.
        """
        found = self._open.setdefault(fp, [])
        if fp[:16] in self._single_fps:
            self._single_fps.discard(fp[:16])
            found += [self._of_single(job, base) for job in self._singles.of(fp, windows=False)]
        while found and found[-1].transcript_id in prior:
            found.pop()
        if not found:
            del self._open[fp]
            return None
        theirs = found.pop()
        # It may be sent some time after it was announced.
        later = theirs.job["intent_at"] + FENCES * FENCE_S
        job: Job = {**theirs.job, "entry": item.entry(), "base": base, "intent_at": later, "prior": list(prior)}
        return Theirs(job, theirs.transcript_id)

    def adopt(self, found: Sequence[Theirs]) -> None:
        """Take over submissions: from now on this run follows them, too.

        Raises:
            OutputError: that could not be written.
        """
        desk = self._desk
        for start in range(0, len(found), WINDOW_JOBS):
            part = found[start : start + WINDOW_JOBS]
            window = desk.ledger.announce(desk.record.name(), [each.job for each in part])
            window.ids = {each.job["fp"]: each.transcript_id for each in part if each.transcript_id is not None}
            desk.ledger.tell(window)
            desk.windows[window.name] = window
            desk.state["windows"][window.name] = (1 << len(part)) - 1
            for index, each in enumerate(part):
                desk.fly(Flight(each.job, window.name, 1 << index), each.transcript_id)
        if found:
            log.info("Another run has submitted %d of the recordings: going on with its jobs.", len(found))

    def take_over(self, window: Window, items: Sequence[ArchiveItem]) -> set[str]:
        """Take over those of a window that another run has announced in the meantime; return their fingerprints.

        Each run writes before it looks, so of two that meet, one at least sees the other.

        Raises:
            OutputError: the folder cannot be read.
        """
        names = self._desk.ledger.names()
        self.learn(name for name in names if not self._desk.ledger.ours(name))
        found = []
        for index, (job, item) in enumerate(zip(window.jobs, items, strict=True)):
            theirs = self.claim(item, job["fp"], job["base"], job["prior"])
            if theirs is not None:
                found.append(theirs)
                window.rejected.add(job["fp"])
                self._desk.close(window.name, 1 << index)
        self.adopt(found)
        return {each.job["fp"] for each in found}

    @staticmethod
    def _of_single(open_job: OpenJob, base: str) -> Theirs:
        record = open_job.record
        job = Job(
            fp=record["fp"],
            audio=record["audio"],
            base=base,
            entry={},
            url_sha256=record["url_sha256"],
            shared_url=record["shared_url"],
            intent_at=record["intent_at"],
            account=record["account"],
            prior=[],
        )
        if record.get("unmatched"):
            job["unmatched"] = True
        return Theirs(job, record.get("id"))
