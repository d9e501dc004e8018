"""Transcribes recordings with the DAG ``transcribe_recording``, one run each, and says how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.airflow_api import FINISHED_RUN, AirflowApi, TaskInstance

DAG_ID = "transcribe_recording"
RECORDINGS = Path(__file__).resolve().parent / "recordings"
_AUDIO = frozenset({".flac", ".m4a", ".mp3", ".ogg", ".wav"})
_POLL_S = 1.0


@dataclass
class Recording:
    """One recording on its way through Airflow."""

    audio: Path
    run_id: str = ""
    state: str = "waiting for a worker"
    summary: dict[str, Any] | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.audio.name

    @property
    def broken(self) -> bool:
        """Whether the file was made to fail."""
        return self.name.startswith("broken")

    @property
    def ended(self) -> bool:
        """Whether its run has ended."""
        return self.state in FINISHED_RUN

    @property
    def as_intended(self) -> bool:
        """Whether it ended as it should: a good one with its text, a broken one with the reason."""
        if self.broken:
            return self.state == "failed" and bool(self.reason)
        return self.state == "success" and bool(self.summary and self.summary.get("word_count"))


def recordings() -> list[Recording]:
    """Return the sample recordings, by name, the broken one last."""
    found = [Recording(path) for path in RECORDINGS.iterdir() if path.suffix in _AUDIO]
    return sorted(found, key=lambda item: (item.broken, item.name))


def transcribe(api: AirflowApi, items: Sequence[Recording], say: Callable[[str], None], timeout_s: float) -> None:
    """Start a run for each recording and follow them until all have ended.

    Raises:
        TimeoutError: some have not ended in time.
    """
    for item in items:
        # Each channel of these calls carries one speaker.
        item.run_id = api.trigger(DAG_ID, {"audio": str(item.audio), "multichannel": True}, name=item.audio.stem)
    say(f"{len(items)} runs of {DAG_ID} are started, one for each recording.")
    width = max(len(item.name) for item in items)
    deadline = time.monotonic() + timeout_s
    while left := [item for item in items if not item.ended]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not ended after {timeout_s:g} s: {', '.join(item.name for item in left)}")
        for item in left:
            before = item.state
            _look(api, item)
            if item.state != before:
                say(f"  {item.name:<{width}}  {_outcome(item)}")
        time.sleep(_POLL_S)


def _look(api: AirflowApi, item: Recording) -> None:
    state = api.run_state(DAG_ID, item.run_id)
    tasks = {task.task_id: task for task in api.task_instances(DAG_ID, item.run_id)}
    if state == "success":
        item.summary = api.xcom(DAG_ID, item.run_id, "wait")
    elif state == "failed":
        item.reason = _reason(api, item, list(tasks.values()))
    elif (step := _step(tasks)) is not None:
        state = step
    else:
        return
    item.state = state


def _step(tasks: dict[str, TaskInstance]) -> str | None:
    """Say in words what a run does, or None if that has not changed."""
    submit, wait, read = (tasks[name].state if name in tasks else None for name in ("submit", "wait", "read"))
    if read in ("running", "success"):
        return "transcribed; reading the text"
    if wait == "deferred":
        return "submitted; waiting without a worker slot"
    if submit == "success" and wait != "up_for_retry":
        return None
    if submit == "running":
        return "submitting"
    return "to be tried again" if "up_for_retry" in (submit, wait, read) else None


def _outcome(item: Recording) -> str:
    if item.state == "success" and item.summary:
        return f"done: {item.summary['word_count']} words"
    if item.state == "failed":
        return "failed, as it should" if item.broken else f"FAILED: {item.reason}"
    return item.state


def _reason(api: AirflowApi, item: Recording, tasks: Sequence[TaskInstance]) -> str:
    for task in tasks:
        if task.state == "failed":
            error = api.task_error(DAG_ID, item.run_id, task.task_id, try_number=task.try_number)
            return error or f"task {task.task_id} failed; its log says why"
    return ""
