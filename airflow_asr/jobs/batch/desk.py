"""What all parts of a batch share: the order, the client of each thread, the ledger, and what is under way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.jobs.archive import Archive, ArchiveItem
from airflow_asr.jobs.batch.budget import Budget, Meter
from airflow_asr.jobs.batch.ledger import Job, Ledger, Window
from airflow_asr.jobs.batch.limits import Limits
from airflow_asr.jobs.batch.state import BatchRecord, BatchState
from airflow_asr.jobs.delivery import Delivery
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.sending import awake_s

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class BatchOrder:
    """What the user wants.

    Attributes:
        archive: the recordings.
        config: the service's own parameters, checked.
        folder: where the outputs go.
        outputs: makes the place of outputs from the beginning of their names.
        manifest: the name of the manifest, without its extension.
        limits: how much at a time.
        budget: how much in all.
        max_failures: how many recordings may fail: a count, or a share.
        dry_run: only say what would be done.
        wait_timeout_s: how long the whole may take from the first submission, in seconds.
    """

    archive: Archive
    config: Mapping[str, Any]
    folder: UPath
    outputs: Callable[[str], Outputs]
    manifest: str
    limits: Limits = field(default_factory=Limits)
    budget: Budget = field(default_factory=Budget)
    max_failures: int | float = 0
    dry_run: bool = False
    wait_timeout_s: float = 7 * 86400.0


@dataclass(frozen=True)
class Todo:
    """A recording that is to be sent.

    Attributes:
        item: the recording.
        fp: the fingerprint of service, audio and parameters.
        base: the beginning of the names of its outputs.
        prior: transcripts of it that ended without a result.
        delivery: the URL that it was given already.
        failures: how often that failed in this process, through no fault of the recording.
    """

    item: ArchiveItem
    fp: str
    base: str
    prior: tuple[str, ...] = ()
    delivery: Delivery | None = None
    failures: int = 0

    def entry(self) -> dict[str, Any]:
        """Return what the plan keeps of it."""
        return {"entry": self.item.entry(), "fp": self.fp, "base": self.base, "prior": list(self.prior)}


@dataclass(frozen=True)
class Flight:
    """A job that may be at the service, and has not ended.

    Attributes:
        job: what the ledger keeps of it.
        window: the name of its window there.
        bit: its place in the window, as a bit.
    """

    job: Job
    window: str
    bit: int


class Desk:
    """The means of a batch.

    Args:
        make_client: makes a client for a thread; the main one retries by itself.
        order: what is wanted.
        ledger: keeps what is open, under the output folder.
        record: keeps the rest, and is the fence.
        clock: seconds since the epoch.
        elapsed: seconds that only grow.
        sleep: how to wait in the worker.
        retry: when to try again what surely submitted nothing.
    """

    def __init__(
        self,
        make_client: Callable[[], AssemblyAIClient],
        order: BatchOrder,
        ledger: Ledger,
        record: BatchRecord,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = awake_s,
        sleep: Callable[[float], None] = time.sleep,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._make_client = make_client
        self.client = make_client()
        self.order = order
        self.ledger = ledger
        self.record = record
        self.clock = clock
        self.elapsed = elapsed
        self.sleep = sleep
        self.retry = retry or RetryPolicy()
        self.meter = Meter(order.budget, record.state["spent"])
        self.by_id: dict[str, Flight] = {}
        """Jobs at the service, by transcript."""
        self.unclear: dict[str, Flight] = {}
        """Submissions whose end nobody saw, by fingerprint."""
        self.closed: list[Window] = []
        """Windows all of whose jobs have ended, to be dropped once that is kept."""
        self.windows: dict[str, Window] = {}
        """The open windows."""
        self._local = threading.local()
        self._clients: list[AssemblyAIClient] = []

    @property
    def state(self) -> BatchState:
        """What is kept for the next try."""
        return self.record.state

    @property
    def in_flight(self) -> int:
        """How many jobs are, or may be, at the service."""
        return len(self.by_id) + len(self.unclear)

    def now(self) -> float:
        """Return the service's time, in seconds since the epoch."""
        return self.client.service_time(self.clock())

    def my_client(self) -> AssemblyAIClient:
        """Return the calling thread's own client: a session serves one thread at a time."""
        client: AssemblyAIClient | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._make_client()
            self._clients.append(client)
        return client

    @contextmanager
    def threads(self, count: int) -> Iterator[ThreadPoolExecutor]:
        """Give threads that end with the block, and their connections with them."""
        with ThreadPoolExecutor(min(count, self.order.limits.concurrency), "airflow-asr-batch") as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
                while self._clients:
                    self._clients.pop().close()
                self._local = threading.local()

    def config_of(self, item: ArchiveItem) -> dict[str, Any]:
        """Return the parameters of a recording."""
        merged = {**self.order.config, **(item.config or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def items_of(self, jobs: Iterable[Job]) -> list[ArchiveItem]:
        """Return the recordings of jobs, whether or not they are still there."""
        return self.order.archive.reopen([job["entry"] for job in jobs])

    def reserve(self, item: ArchiveItem, fp: str) -> None:
        """Count a recording that is under way against the budget."""
        self.meter.reserve(fp, self.estimate_s(item), self.config_of(item))

    def estimate_s(self, item: ArchiveItem) -> float | None:
        """Return how long a recording is, in seconds, as far as anybody can know."""
        return self.meter.estimate_s(item.key, item.bytes, item.seconds)

    # What is open --------------------------------------------------------------------------------------------------

    def fly(self, flight: Flight, transcript_id: str | None) -> None:
        """Note that a job is, or may be, at the service."""
        if transcript_id is None:
            self.unclear[flight.job["fp"]] = flight
        else:
            self.unclear.pop(flight.job["fp"], None)
            self.by_id[transcript_id] = flight

    def land(self, flight: Flight, transcript_id: str | None) -> None:
        """Note that a job has ended, or that there is none."""
        self.meter.release(flight.job["fp"])
        if transcript_id is not None:
            self.by_id.pop(transcript_id, None)
        self.unclear.pop(flight.job["fp"], None)
        self.close(flight.window, flight.bit)

    def close(self, window: str, bit: int) -> None:
        """Note that a place in a window is not open any more."""
        left = self.state["windows"].get(window, 0) & ~bit
        if left:
            self.state["windows"][window] = left
            return
        self.state["windows"].pop(window, None)
        known = self.windows.pop(window, None)
        if known is not None:
            self.closed.append(known)

    def fence(self) -> float:
        """Keep the state, which only the current try can; then forget the windows that have ended.

        Raises:
            RecordError: this try is not the current one any more, or nothing can be kept.
        """
        at = self.record.fence()
        while self.closed:
            self.ledger.drop(self.closed.pop())
        return at
