"""A small world in which the real code of a batch runs step by step: as :mod:`tests.jobs.spend_once`, for many files.

What the batch does side by side it does here one after the other, so that an example can be repeated.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from greenlet import GreenletExit, greenlet

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    InputError,
    RateLimitError,
    ServerError,
    SubmitOutcomeUnknownError,
    TranscriptNotFoundError,
    UnreachableError,
)
from airflow_asr.api.pages import TranscriptListItem, TranscriptPage
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.archive import ArchiveItem
from airflow_asr.jobs.batch.desk import BatchOrder, Desk
from airflow_asr.jobs.batch.ledger import Ledger
from airflow_asr.jobs.batch.limits import Limits
from airflow_asr.jobs.batch.run import Batch, BatchSummary, BatchWaiting
from airflow_asr.jobs.batch.state import BatchRecord
from airflow_asr.jobs.delivery import Delivery
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.search import url_hash
from tests.jobs.spend_once import BASE_URL, FENCE_S, Job, RefusedError

T = TypeVar("T")

REPLIES = ("ok", "ok", "ok", "lost", "never arrives", "late", "429", "unreachable")
BAD = "bad.wav"


class World:
    """Everything that survives a worker."""

    def __init__(self, names: Sequence[str]) -> None:
        self.now = 1_800_000_000.0
        self.names = list(names)
        self.jobs: list[Job] = []
        self.files: dict[str, bytes] = {}
        self.runs: list[Run] = [Run("first")]
        self.replies: list[str] = []
        self.failing: list[bool] = []
        """Whether the service fails the next transcripts."""
        self.lag_s = 0.0
        self.broken_pages = 0
        self._urls = 0

    def url(self, name: str) -> str:
        """Return a URL that was never given before."""
        self._urls += 1
        return f"https://uploads.example/{name}/{self._urls}"

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.replies, self.failing, self.lag_s, self.broken_pages = [], [], 0.0, 0

    def end_jobs(self) -> None:
        """Let all transcripts that are under way come to their end."""
        for job in self.jobs:
            if job.status == "processing":
                bad = BAD in job.url
                fails = bad or (bool(self.failing) and self.failing.pop(0))
                job.status = "error" if fails else "completed"
                job.error = "File does not appear to contain audio" if bad else "Internal server error" * fails

    def paid(self) -> Counter[str]:
        """Return how many transcripts each recording has, or may come to have."""
        return Counter(job.url.split("/")[-2] for job in self.jobs if job.counts)


@dataclass
class Run:
    """One DAG run's task instance: its store, and its tries."""

    run_id: str
    store: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    try_number: int = 0

    def start(self, world: World) -> Worker:
        """Begin the next try. A worker of an earlier one that still lives is a zombie from now on."""
        self.try_number += 1
        worker = Worker(world, self)
        self.workers.append(worker)
        return worker


class Worker:
    """One try, in a process of its own.

    Attributes:
        at: where it stands.
        summary: what it returned.
        error: what it failed with.
    """

    def __init__(self, world: World, run: Run) -> None:
        self.world = world
        self.run = run
        self.number = run.try_number
        self.at = "start"
        self.wakes_at = 0.0
        self.fenced_at = 0.0
        self.refused = False
        self.calls = 0
        self.summary: BatchSummary | None = None
        self.error: Exception | None = None
        self._greenlet = greenlet(self._work)

    @property
    def ended(self) -> bool:
        return bool(self._greenlet.dead)

    @property
    def is_current(self) -> bool:
        """Whether Airflow takes it for the task instance."""
        return self.number == self.run.try_number

    def advance(self, steps: int) -> None:
        """Let it go on for so many steps, or to its end."""
        for _ in range(steps):
            if self.ended:
                return
            if self.at in ("sleep", "wait"):
                if self.at == "wait":
                    self.world.end_jobs()
                self.world.now = max(self.world.now, self.wakes_at)
            self._greenlet.switch()

    def finish(self) -> None:
        """Let it run to its end."""
        self.advance(20_000)
        assert self.ended, f"It does not come to an end; it stands at {self.at}."

    def kill(self) -> None:
        """End it where it stands."""
        if self.at == "start":
            self._greenlet = greenlet(lambda: None)
            self._greenlet.switch()
        elif not self.ended:
            self._greenlet.throw(GreenletExit)

    def step(self, name: str, effect: Callable[[], T]) -> T:
        """Stop, have an effect, stop."""
        self._stop(name)
        result = effect()
        self._stop(f"{name}: done")
        return result

    def _stop(self, name: str) -> None:
        self.at = name
        self._greenlet.parent.switch()

    def _sleep(self, seconds: float) -> None:
        self.wakes_at = self.world.now + seconds
        self._stop("sleep")

    def _work(self) -> None:
        try:
            self.summary = self._transcribe()
        except Exception as error:
            self.error = error

    def _transcribe(self) -> BatchSummary:
        folder: Any = _Path(_Files(self), "out")
        owner = self.run.run_id
        order = BatchOrder(
            archive=_Archive(self.world),  # type: ignore[arg-type]
            config={},
            folder=folder,
            outputs=lambda base: Outputs(folder, base, ("txt",), owner),
            manifest="manifest",
            limits=Limits(ramp=None, max_in_flight=4, concurrency=2, max_resubmits=2),
            max_failures=1.0,
        )
        record = BatchRecord(_Store(self), self.number, 3, lambda: self.world.now)
        place = Outputs(folder, "", ("txt",), owner)
        desk = _InTurn(
            lambda: _Client(self),
            order,
            Ledger(place.own_folder, owner),
            record,
            clock=lambda: self.world.now,
            elapsed=lambda: self.world.now,
            sleep=self._sleep,
        )
        batch = Batch(desk, ("txt",), place.open_jobs)
        outcome = batch.begin()
        while isinstance(outcome, BatchWaiting):
            self.wakes_at = outcome.wake_at if not outcome.transcript_ids else self.world.now + 10
            self._stop("wait")
            ended = [
                job.id for job in self.world.jobs if job.id in outcome.transcript_ids and job.status != "processing"
            ]
            outcome = batch.go_on(ended)
        return outcome


class _InTurn(Desk):
    """Does one thing after the other."""

    @contextmanager
    def threads(self, count: int) -> Iterator[Any]:
        yield _Inline()


class _Inline:
    def submit(self, call: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class _Store:
    """The task state store, with a backend that keeps what it is given before Airflow says no."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def get(self, key: str) -> Any:
        def effect() -> Any:
            kept = self._worker.run.store.get(key) if self._worker.is_current else None
            return json.loads(kept) if kept else None

        return self._worker.step("get", effect)

    def set(self, key: str, value: Any) -> None:
        def effect() -> None:
            worker = self._worker
            worker.run.store[key] = json.dumps(value, allow_nan=False)
            if not worker.is_current:
                worker.refused = True
                raise RefusedError("404: this task instance was tried again")
            worker.fenced_at = worker.world.now

        self._worker.step("set", effect)


class _Client(AssemblyAIClient):
    """The service, as the real client would show it to one worker."""

    def __init__(self, worker: Worker) -> None:
        super().__init__("key", base_url=BASE_URL)
        self._worker = worker
        self._world = worker.world

    def service_time(self, now: float) -> float:
        return now

    def get(self, transcript_id: str) -> Transcript:
        def effect() -> Transcript:
            for job in self._visible():
                if job.id == transcript_id:
                    return Transcript(job.raw)
            raise TranscriptNotFoundError("Transcript lookup error", transcript_id=transcript_id)

        return self._asks("read", effect)

    def list(self, *, before_id: str | None = None, created_on: str | None = None, **_: Any) -> TranscriptPage:
        def effect() -> TranscriptPage:
            if self._world.broken_pages:
                self._world.broken_pages -= 1
                raise ServerError("Could not list transcripts: 503.")
            rows = [TranscriptListItem(job.raw) for job in sorted(self._visible(), key=lambda job: -job.created)]
            ids = [row.id for row in rows]
            rows = rows[ids.index(before_id) + 1 :] if before_id else rows
            return TranscriptPage(rows[:5], rows[4].id if rows[5:] else None)

        return self._asks("list", effect)

    def submit(self, audio_url: str, config: Mapping[str, Any] | None = None) -> Transcript:
        return self._asks("submit", lambda: self._accept(audio_url))

    def _accept(self, url: str) -> Transcript:
        world, worker = self._world, self._worker
        assert not worker.refused, "A try whose record was refused went on to submit."
        assert world.now - worker.fenced_at <= FENCE_S, "The fence was too old."
        assert url_hash(url) in _announced(world), "What is submitted was not announced."
        reply = world.replies.pop(0) if world.replies else "ok"
        if reply == "429":
            raise RateLimitError("Too many requests.")
        if reply == "unreachable":
            raise UnreachableError("No connection.")
        if reply == "never arrives":
            raise SubmitOutcomeUnknownError("No reply.")
        created = world.now + (80.0 if reply == "late" else 0.0)
        job = Job(f"t-{len(world.jobs):03}", url, {}, None, "", created, created + world.lag_s)
        world.jobs.append(job)
        if reply in ("lost", "late"):
            raise SubmitOutcomeUnknownError("No reply.")
        return Transcript(job.raw)

    def _visible(self) -> Iterator[Job]:
        return (job for job in self._world.jobs if job.visible <= self._world.now)

    def _asks(self, name: str, effect: Callable[[], T]) -> T:
        self._worker.calls += 1
        return self._worker.step(name, effect)


def _announced(world: World) -> set[str]:
    windows = (json.loads(data) for path, data in world.files.items() if path.endswith(".window.json"))
    return {job["url_sha256"] for window in windows for job in window["jobs"]}


@dataclass(frozen=True)
class _Audio:
    world: World
    name: str

    shared_url = False

    @property
    def shown(self) -> str:
        return self.name

    @property
    def location(self) -> str:
        return self.name

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name}

    def deliver(self, client: AssemblyAIClient) -> Delivery:
        if self.name not in self.world.names:
            raise InputError(f"{self.name} is gone.")
        return Delivery(self.world.url(self.name), uploaded=True)

    def check_unchanged(self) -> None:
        pass


class _Archive:
    """The recordings that are there now."""

    root = "the archive"

    def __init__(self, world: World) -> None:
        self._world = world

    def items(self) -> Iterator[ArchiveItem]:
        for name in self._world.names:
            yield ArchiveItem(name, _Audio(self._world, name), name)

    def reopen(self, entries: Iterable[Mapping[str, Any]]) -> list[ArchiveItem]:
        return [ArchiveItem(each["key"], _Audio(self._world, each["key"]), each["key"]) for each in entries]


class _Files:
    """Object storage."""

    protocol = "model"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._files = worker.world.files

    def pipe_file(self, path: str, data: bytes) -> None:
        self._worker.step("write", lambda: self._files.__setitem__(path, data))

    def put_file(self, source: str, path: str) -> None:
        self.pipe_file(path, Path(source).read_bytes())

    def cat_file(self, path: str) -> bytes:
        return self._found(path)

    def open(self, path: str, mode: str) -> io.BytesIO:
        return io.BytesIO(self._found(path))

    def info(self, path: str) -> dict[str, Any]:
        return {"size": len(self._found(path))}

    def ls(self, path: str, detail: bool) -> list[Any]:
        found = {each[len(path) + 1 :].split("/")[0] for each in self._files if each.startswith(f"{path}/")}
        if not detail:
            return self._worker.step("list files", lambda: [f"{path}/{each}" for each in sorted(found)])
        return [self._info(f"{path}/{each}") for each in sorted(found)]

    def rm_file(self, path: str) -> None:
        def effect() -> None:
            self._found(path)
            del self._files[path]

        self._worker.step("remove file", effect)

    def invalidate_cache(self, path: str | None = None) -> None:
        pass

    def _info(self, path: str) -> dict[str, Any]:
        data = self._files.get(path)
        return (
            {"name": path, "type": "directory"} if data is None else {"name": path, "type": "file", "size": len(data)}
        )

    def _found(self, path: str) -> bytes:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]


@dataclass(frozen=True)
class _Path:
    fs: _Files
    path: str

    def __truediv__(self, name: str) -> _Path:
        return _Path(self.fs, f"{self.path}/{name}")

    def __str__(self) -> str:
        return f"model://{self.path}"

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]
