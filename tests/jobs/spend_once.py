"""A small world in which the real code of one task runs step by step: a service, stores and workers that can die.

Each call that leaves the process (to the service, to the task state store, to the output folder) is two steps: before
it has an effect, and after. A worker stops at each, and whoever drives the world decides whether it goes on, is killed
there, or waits while another try of the same task instance runs. Time passes only when the driver says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from greenlet import GreenletExit, greenlet

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    RateLimitError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    TranscriptNotFoundError,
    UnreachableError,
)
from airflow_asr.api.pages import TranscriptListItem, TranscriptPage, parse_time
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.delivery import Delivery
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.records import TryRecords
from airflow_asr.jobs.results import TranscriptSummary
from airflow_asr.jobs.submission import Submission
from airflow_asr.jobs.transcription import Order, Transcription, Waiting

T = TypeVar("T")

BASE_URL = "https://api.example"
SHARED_URL = "https://calls.example/a.wav"
DAY_S = 86_400.0
FENCE_S = 10.0
"""The longest time between a fence and what it lets through; the code must keep to it by itself."""

REPLIES = ("ok", "lost", "never arrives", "late", "429", "unreachable", "400")
"""What can become of a submission. After "lost" and "late" there is a job, and nobody was told."""


class RefusedError(Exception):
    """The store does not take this write: the try is no longer the current one."""


@dataclass
class Job:
    """A transcript at the service. Times are the service's, in seconds since the epoch."""

    id: str
    url: str
    config: dict[str, Any]
    by: Worker | None
    fp: str
    created: float
    visible: float
    status: str = "processing"
    error: str | None = None
    deleted: bool = False
    project: str = "ours"

    @property
    def counts(self) -> bool:
        """Whether it costs money: it runs or has a result that nobody threw away."""
        return self.status != "error" and not self.deleted

    @property
    def raw(self) -> dict[str, Any]:
        created = parse_time("1970-01-01").add(seconds=self.created).isoformat()
        url = "http://deleted_by_user" if self.deleted else self.url
        row = {"id": self.id, "status": self.status, "audio_url": url, "error": self.error or "", "created": created}
        return {**row, "text": "Deleted by user." if self.deleted else "Hello.", "speaker_labels": False, **self.config}


class World:
    """Everything that survives a worker."""

    def __init__(self, kind: str) -> None:
        self.kind = kind  # How the audio reaches the service: "upload", "signed" or "shared".
        self.now = 1_800_000_000.0
        self.jobs: list[Job] = []
        self.files: dict[str, bytes] = {}
        self.runs: list[DagRun] = [DagRun("first")]
        self.version = 1  # Of the audio.
        self.config: dict[str, Any] = {}
        self.reply = "ok"
        self.late_s = 0.0
        self.lag_s = 0.0
        self.broken_pages = 0
        self.key = "key"
        self.calls = 0
        self.said: list[str] = []
        self._urls = 0

    @property
    def workers(self) -> list[Worker]:
        """All workers that live."""
        return [worker for run in self.runs for worker in run.workers if not worker.ended]

    def pass_time(self, seconds: float) -> None:
        """Let time pass. What is between its fence and its request is not held up for longer than we assume."""
        end = self.now + seconds
        for worker in self.workers:
            if worker.at == "submit" and end > worker.fenced_at + FENCE_S:
                worker.resume()
        self.now = max(self.now, end)

    def url(self) -> str:
        """Return a URL that was never given before."""
        self._urls += 1
        if self.kind == "shared":
            return f"{SHARED_URL}?v={self.version}"
        return f"https://{self.kind}.example/{self._urls}?X-Amz-Signature=SECRET"

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.reply, self.late_s, self.lag_s, self.broken_pages, self.key = "ok", 0.0, 0.0, 0, "key"


@dataclass
class DagRun:
    """One DAG run's task instance: its store, and its tries."""

    run_id: str
    store: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    try_number: int = 0
    max_tries: int = 3

    def start(self, world: World, skew_s: float = 0.0) -> Worker:
        """Begin the next try. A worker of an earlier one that still lives is a zombie from now on."""
        self.try_number += 1
        worker = Worker(world, self, skew_s)
        self.workers.append(worker)
        return worker


class Worker:
    """One try, in a process of its own, with a clock of its own.

    Attributes:
        at: where it stands.
        ended: whether it has come to its end, or was killed.
        summary: what it returned.
        error: what it failed with.
    """

    def __init__(self, world: World, run: DagRun, skew_s: float) -> None:
        self.world = world
        self.run = run
        self.number = run.try_number
        self.skew_s = skew_s
        self.at = "start"
        self.wakes_at = 0.0
        self.fenced_at = 0.0
        self.refused = False
        self.calls = 0
        self.summary: TranscriptSummary | None = None
        self.error: Exception | None = None
        self.fp = ""
        self._config, self._version = dict(world.config), world.version
        self._greenlet = greenlet(self._work)

    @property
    def ended(self) -> bool:
        return bool(self._greenlet.dead)

    @property
    def is_current(self) -> bool:
        """Whether Airflow takes it for the task instance."""
        return self.number == self.run.try_number

    def resume(self) -> None:
        """Let it go on to its next step. A sleeper is woken in time."""
        if self.at == "sleep" and self.world.now < self.wakes_at:
            wakes_at, self.at = self.wakes_at, "waking"
            self.world.pass_time(wakes_at - self.world.now)
        self._greenlet.switch()

    def kill(self) -> None:
        """End it where it stands."""
        if self.at == "start":
            self._greenlet = greenlet(lambda: None)
            self._greenlet.switch()
        elif not self.ended:
            self._greenlet.throw(GreenletExit)

    def finish(self, most: int = 2000) -> None:
        """Let it run to its end; its jobs are completed while it waits for them."""
        for _ in range(most):
            if self.ended:
                return
            if self.at == "wait":
                for job in self.world.jobs:
                    if job.status == "processing":
                        job.status = "completed"
            self.resume()
        raise AssertionError(f"It does not come to an end; it stands at {self.at}.")

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
            self.world.said.append(str(error))

    def _transcribe(self) -> TranscriptSummary:
        client = ModelClient(self)
        records = TryRecords(_Store(self), self.number, self.run.max_tries)
        submission = Submission(
            client,
            records,
            clock=lambda: self.world.now + self.skew_s,
            elapsed=lambda: self.world.now,
            sleep=self._sleep,
        )
        folder: Any = _Path(_Files(self), "out")
        order = Order(
            find=lambda: _Audio(self.world, self._version),
            audio="a.wav",
            config=self._config,
            outputs=lambda base: Outputs(folder, base, ("txt",), owner=f"{self.run.run_id}"),
        )
        transcription = Transcription(client, records, order, submission=submission)
        outcome = transcription.advance()
        while isinstance(outcome, Waiting):
            self._stop("wait")
            outcome = transcription.advance(outcome.fingerprint)
        return outcome


class _Store:
    """The task state store, with a backend that keeps what it is given before Airflow says no."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def get(self, key: str) -> Any:
        def effect() -> Any:
            # Airflow answers a zombie as if there were nothing.
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
            if isinstance(value, dict):
                worker.fp = value["fp"]
                if value["state"] == "intent":
                    worker.fenced_at = worker.world.now

        self._worker.step("set", effect)


class ModelClient(AssemblyAIClient):
    """The service, as the real client would show it to one worker."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.world.key, base_url=BASE_URL)
        self._worker = worker
        self._world = worker.world
        self._project = "theirs" if worker.world.key == "another project's" else "ours"

    def service_time(self, now: float) -> float:
        return now - self._worker.skew_s

    def upload(self, *_: Any, **__: Any) -> str:
        return self._asks("upload", self._world.url)

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
            if created_on is not None:
                rows = [row for row in rows if row.created.format("YYYY-MM-DD") == created_on]
            ids = [row.id for row in rows]
            rows = rows[ids.index(before_id) + 1 :] if before_id else rows
            return TranscriptPage(rows[:2], rows[1].id if rows[2:] else None)

        return self._asks("list", effect)

    def submit(self, audio_url: str, config: Mapping[str, Any] | None = None) -> Transcript:
        return self._asks("submit", lambda: self._accept(audio_url, dict(config or {})))

    def _accept(self, url: str, config: dict[str, Any]) -> Transcript:
        world, worker = self._world, self._worker
        assert not worker.refused, "A try whose record was refused went on to submit."
        assert world.now - worker.fenced_at <= FENCE_S, "The fence was too old."
        assert _intends(worker, url), "What is submitted was not recorded."
        reply, world.reply = world.reply, "ok"
        if reply == "429":
            raise RateLimitError("Too many requests.")
        if reply == "unreachable":
            raise UnreachableError("No connection.")
        if reply == "400":
            raise RequestError("Wrong.")
        if reply == "never arrives":
            raise SubmitOutcomeUnknownError("No reply.")
        created = world.now + (world.late_s if reply == "late" else 0.0)
        job = Job(f"t-{len(world.jobs):03}", url, config, worker, worker.fp, created, created + world.lag_s)
        job.project = self._project
        world.jobs.append(job)
        if reply in ("lost", "late"):
            raise SubmitOutcomeUnknownError("No reply.")
        return Transcript(job.raw)

    def _visible(self) -> Iterator[Job]:
        for job in self._world.jobs:
            if job.visible <= self._world.now and job.project == self._project:
                yield job

    def _asks(self, name: str, effect: Callable[[], T]) -> T:
        self._world.calls += 1
        self._worker.calls += 1
        return self._worker.step(name, effect)


def _intends(worker: Worker, url: str) -> bool:
    from airflow_asr.jobs.search import url_hash

    records = [json.loads(value) for key, value in worker.run.store.items() if key.endswith(f".{worker.number}")]
    return any(
        isinstance(each, dict) and each["state"] == "intent" and each["url_sha256"] == url_hash(url) for each in records
    )


@dataclass(frozen=True)
class _Audio:
    world: World
    version: int

    shown = location = name = "a.wav"

    @property
    def shared_url(self) -> bool:
        return self.world.kind == "shared"

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version}

    def deliver(self, client: AssemblyAIClient) -> Delivery:
        if self.world.kind == "upload":
            return Delivery(client.upload([]), uploaded=True)
        return Delivery(self.world.url(), uploaded=False)

    def check_unchanged(self) -> None:
        pass


class _Files:
    """Object storage."""

    protocol = "model"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._files = worker.world.files

    def pipe_file(self, path: str, data: bytes) -> None:
        self._worker.step("write", lambda: self._files.__setitem__(path, data))

    def cat_file(self, path: str) -> bytes:
        return self._worker.step("read file", lambda: self._found(path))

    def info(self, path: str) -> dict[str, Any]:
        return {"size": len(self._found(path))}

    def ls(self, path: str, detail: bool) -> list[str]:
        assert not detail
        return self._worker.step("list files", lambda: [each for each in self._files if each.startswith(f"{path}/")])

    def rm_file(self, path: str) -> None:
        def effect() -> None:
            self._found(path)
            del self._files[path]

        self._worker.step("remove file", effect)

    def invalidate_cache(self) -> None:
        pass

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
