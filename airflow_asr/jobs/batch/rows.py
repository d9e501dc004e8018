"""The rows of the manifest, as recordings come to their end: counted, and kept in parts of the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

from airflow_asr.api.errors import AssemblyAIError
from airflow_asr.jobs.archive import ArchiveItem
from airflow_asr.jobs.batch.desk import Desk
from airflow_asr.jobs.batch.plan import PART
from airflow_asr.jobs.manifest import ManifestRow, read_rows
from airflow_asr.jobs.receipts import Receipt
from airflow_asr.jobs.results import TranscriptSummary

log = logging.getLogger(__name__)


class Rows:
    """Takes rows, and writes them before they are forgotten.

    Args:
        desk: the ledger and the state.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rows: list[ManifestRow] = []

    def add(self, row: ManifestRow) -> None:
        """Take a row."""
        self._rows.append(row)

    def failed(self, item: ArchiveItem, fp: str, error: AssemblyAIError) -> None:
        """Take a recording that has no transcript, and why."""
        log.warning("%s", error if item.shown in str(error) else f"{item.shown}: {error}")
        self._desk.state["failed"] += 1
        self.add(
            {
                **_row(item, fp, "failed", new=True),
                "kind": error.kind,
                "error": str(error),
                "transcript_id": error.transcript_id,
            }
        )

    def left(self, item: ArchiveItem, fp: str) -> None:
        """Take a recording that was not sent."""
        self.add({**_row(item, fp, "left", new=False), "kind": "budget", "error": "It does not fit into the budget."})

    def planned(self, item: ArchiveItem, fp: str) -> None:
        """Take a recording that would be sent."""
        self.add({**_row(item, fp, "planned", new=False), "seconds": self._desk.estimate_s(item)})

    def completed(self, item: ArchiveItem, fp: str, summary: TranscriptSummary, receipt: Receipt) -> None:
        """Take a recording whose outputs are written, and count what it cost."""
        seconds = summary["audio_duration_s"]
        cost = self._desk.order.budget.cost(seconds or 0.0, self._desk.config_of(item), summary["speech_model_used"])
        self._desk.meter.charge(item.key, item.bytes, seconds, cost)
        self._desk.state["done"] += 1
        self.add(
            {
                **_row(item, fp, "completed", new=True),
                "transcript_id": summary["transcript_id"],
                "seconds": seconds,
                "language": summary["language_code"],
                "confidence": summary["confidence"],
                "model": summary["speech_model_used"],
                "words": summary["word_count"],
                "outputs": dict(summary["outputs"]),
                "sizes": {name: receipt["files"][name]["size"] for name in summary["outputs"]},
                "cost": cost,
            }
        )

    def write(self) -> None:
        """Write what was taken as a part of the ledger.

        Raises:
            OutputError: it could not be written.
        """
        rows = iter(self._rows)
        while part := list(islice(rows, PART)):
            self._desk.ledger.put_part(f"{self._desk.record.name()}.rows", part)
        self._rows.clear()

    def write_full(self) -> None:
        """Write what was taken if it fills a part: so many rows need not be in memory."""
        if len(self._rows) >= PART:
            self.write()

    def kept(self) -> Iterator[Iterable[ManifestRow]]:
        """Yield the parts that this task instance has written, in all its tries, the oldest first."""
        for name in self._desk.ledger.parts("rows"):
            yield read_rows(self._desk.ledger.part_path(name))


def _row(item: ArchiveItem, fp: str, status: str, *, new: bool) -> ManifestRow:
    return ManifestRow(
        key=item.key,
        uri=item.location,
        fingerprint=fp,
        status=status,
        new=new,
        kind=None,
        error=None,
        transcript_id=None,
        seconds=item.seconds,
        bytes=item.bytes,
        language=None,
        confidence=None,
        model=None,
        words=None,
        outputs={},
        sizes={},
        cost=None,
    )
