"""Runs that are disturbed, and what must be true of each when it is over."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from airflow.sdk import ObjectStoragePath

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.transcript import TranscriptStatus
from airflow_asr.jobs.fetching import fetch
from airflow_asr.jobs.outputs import EXTENSIONS, Outputs
from demo.airflow_api import AirflowApiError
from demo.service import API_KEY, LocalService
from tests.e2e.world import Run, World, wait_until
from tests.object_storage import BUCKET

TASK = "transcribe"
FORMATS = ("json", "txt", "srt")


@dataclass(frozen=True)
class Held:
    """A worker that stands at a step."""

    pid: int
    supervisor: int

    def kill(self, *, supervisor: bool = False) -> None:
        """End it as ``kill -9`` does; the process that watches over it too, if asked."""
        if supervisor:
            os.kill(self.supervisor, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Freeze it, with the process that watches over it."""
        for pid in (self.supervisor, self.pid):
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        for pid in (self.pid, self.supervisor):
            os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Row:
    """What a fault led to."""

    fault: str
    tries: int
    wanted: int
    made: int
    lost: int
    seconds: float
    why: str = ""
    text: str = ""
    """What is said in the recording, and in no other."""


@dataclass
class Case:
    """One run of one recording, with a fault in it.

    Attributes:
        world: where it runs.
        holds: the folder in which workers are told where to stop.
        fault: what goes wrong, in words.
        service: transcribes it.
        dag_id: its DAG.
        process_s: how long the service works on it, in seconds.
        padding: bytes that make the recording larger, and say nothing.
        bucket: it lies in object storage, and is handed over by a signed URL.
        recording: real speech, in the place of a script.
        heard: what the recogniser hears in it.
        parts: temporary files that may be left, because a worker is killed while it writes one.
    """

    world: World
    holds: Path
    fault: str
    service: LocalService
    connection: str = "echo"
    dag_id: str = "recovering_deferred"
    process_s: float = 6.0
    padding: int = 0
    bucket: bool = False
    parts: int = 0
    recording: Path | None = None
    heard: str = ""
    run: Run = field(init=False)
    began: float = field(init=False)

    @property
    def name(self) -> str:
        """The fault, as a file name."""
        return "".join(char if char.isalnum() else "-" for char in self.fault)

    @property
    def text(self) -> str:
        """What is said in the recording, and in no other."""
        return self.heard or f"This was disturbed: {self.fault}."

    @property
    def output(self) -> Path:
        """The folder of its outputs."""
        return self.world.audio.parent / "text" / self.name

    def start(self, hold: str | None = None) -> Case:
        """Start the run; its first try stops at a step, if one is named."""
        audio = self._audio()
        params = {"audio": audio, "output": f"file://{self.output}", "connection": self.connection}
        run_id = f"{self.name}__{int(time.time())}"
        if hold:
            self._file(run_id, "json").write_text(json.dumps({"step": hold}))
        self.world.airflow.api.wait_for_dag(self.dag_id)
        body = {"logical_date": None, "conf": params, "dag_run_id": run_id}
        self.world.airflow.api.request("POST", f"dags/{self.dag_id}/dagRuns", json=body)
        self.run = Run(self.world.airflow.api, self.dag_id, run_id, self.world.airflow.logs / "scheduler.log")
        self.began = time.monotonic()
        return self

    def _audio(self) -> str:
        if self.recording:
            return str(self.recording)
        path = Path(self.world.script(self.name, text=self.text, process_s=self.process_s))
        if self.padding:
            with path.open("ab") as file:
                file.write(b" " * self.padding)
        if not self.bucket:
            return str(path)
        self.world.storage.put(f"disturbed/{path.name}", path.read_bytes())
        return f"s3://storage@{BUCKET}/disturbed/{path.name}"

    def held(self, timeout_s: float = 120.0) -> Held:
        """Wait until its worker stands at the step; the time to recover counts from there."""
        return self.held_as(self.run.run_id, timeout_s)

    def held_as(self, name: str, timeout_s: float = 120.0) -> Held:
        """Wait until the worker of a run, or of a DAG, stands at the step."""
        path = self._file(name, "held")
        wait_until(path.exists, f"{self.fault}: the worker stands there", timeout_s)
        self.began = time.monotonic()
        return Held(**json.loads(path.read_text()))

    def let_go(self) -> None:
        """Let its worker go on."""
        self._file(self.run.run_id, "go").touch()

    def hold(self, name: str, step: str) -> None:
        """Let the next first try of a run, or of a DAG, stop at a step."""
        self._file(name, "json").write_text(json.dumps({"step": step}))

    def wait_for(self, *states: str) -> None:
        """Wait until its task is in one of these states; the time to recover counts from there."""
        self.run.wait_for(TASK, *states)
        self.began = time.monotonic()

    def finish(self, timeout_s: float = 420.0) -> Row:
        """Wait for its end, and count."""
        try:
            state = self.run.finish(timeout_s)
        except AirflowApiError as error:
            state = str(error)
        return self.row(self.run.task(TASK).try_number, "" if state == "success" else f"the run is {state}")

    def row(self, tries: int, why: str = "") -> Row:
        """Count what it has cost, and compare what it has left."""
        seconds = time.monotonic() - self.began
        ids = self.transcripts()
        why = why or self._missing(ids)
        return Row(self.fault, tries, 1, len(ids), int(bool(why)), seconds, why, self.text)

    def transcripts(self) -> list[str]:
        """Return the transcripts of this recording at the service."""
        return [row.id for row in self._client.walk() if self._client.get(row.id).text == self.text]

    @property
    def submitted(self) -> bool:
        """Whether its transcript is at the service."""
        return any(self.output.rglob("*.job.json"))

    def _missing(self, ids: list[str]) -> str:
        """Say what is not as if nothing had happened; nothing if all is."""
        if not ids:
            return "there is no transcript"
        for output_format in FORMATS:
            extension = EXTENSIONS[output_format]
            found = [path for path in self.output.rglob(f"*.{extension}") if "_asr" not in path.parts]
            if len(found) != 1:
                return f"there are {len(found)} files for {output_format}"
            if found[0].read_bytes() not in [undisturbed[output_format] for undisturbed in map(self._fetched, ids)]:
                return f"{found[0].name} is not what an undisturbed run writes"
        left = [path.name for path in self.output.rglob("*") if path.name.endswith(".intent.json")]
        parts = [path.name for path in self.output.rglob("*.part")]
        if left or len(parts) > self.parts:
            return f"{', '.join(left + parts)} was left behind"
        return ""

    def _fetched(self, transcript_id: str) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            outputs: Any = Outputs(ObjectStoragePath(f"file://{folder}"), "x", FORMATS)  # type: ignore[arg-type]
            fetch(self._client, transcript_id, outputs)
            return {each: (Path(folder) / f"x.{EXTENSIONS[each]}").read_bytes() for each in FORMATS}

    @cached_property
    def _client(self) -> AssemblyAIClient:
        return AssemblyAIClient(API_KEY, base_url=self.service.url)

    def _file(self, name: str, kind: str) -> Path:
        return self.holds / f"{name}.{kind}"


def recount(rows: Iterable[Row], services: Iterable[LocalService], timeout_s: float = 120.0) -> list[Row]:
    """Count all transcripts once more, when the last of them has ended: a duplicate can come late.

    Whatever nobody asked for is a row of its own.
    """
    heard: Counter[str] = Counter()
    for service in {service.url: service for service in services}.values():
        client = AssemblyAIClient(API_KEY, base_url=service.url)
        wait_until(partial(_is_idle, client), "the service is idle", timeout_s)
        transcripts = [client.get(row.id) for row in client.walk()]
        heard.update(each.text or f"{each.id} without a text" for each in transcripts if not each.deleted)
    counted = [replace(row, made=heard.pop(row.text, 0)) for row in rows]
    return counted + [Row(f"nobody asked for: {text}", 0, 0, made, 0, 0.0) for text, made in heard.items()]


def _is_idle(client: AssemblyAIClient) -> bool:
    return all(row.status in (TranscriptStatus.COMPLETED, TranscriptStatus.ERROR) for row in client.walk())
