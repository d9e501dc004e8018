"""Runs the DAG ``transcribe_calls`` over the sample recordings, and says how it goes with each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.airflow_api import FINISHED_RUN, FINISHED_TASK, AirflowApi, TaskInstance

DAG_ID = "transcribe_calls"
RECORDINGS = Path(__file__).resolve().parent / "recordings"
_POLL_S = 1.0
_STEPS = {
    "running": "at work",
    "deferred": "submitted; waiting without a worker slot",
    "up_for_retry": "to be tried again",
}


@dataclass
class Recording:
    """One recording on its way through Airflow."""

    audio: str
    state: str | None = None
    summary: dict[str, Any] | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return Path(self.audio).name

    @property
    def broken(self) -> bool:
        """Whether the file was made to fail."""
        return self.name.startswith("broken")

    @property
    def as_intended(self) -> bool:
        """Whether it ended as it should: a good one with its text, a broken one with the reason."""
        if self.broken:
            return self.state == "failed" and bool(self.reason)
        return self.state == "success" and bool(self.summary and self.summary.get("word_count"))


@dataclass
class Outcome:
    """What a run made.

    Attributes:
        recordings: by name, the broken one last.
        report: the file of the report; None if there is none.
        error: why there is none.
    """

    recordings: list[Recording] = field(default_factory=list)
    report: Path | None = None
    error: str = ""

    @property
    def as_intended(self) -> bool:
        """Whether there is a report, and every recording ended as it should."""
        return self.report is not None and bool(self.recordings) and all(each.as_intended for each in self.recordings)


def transcribe(api: AirflowApi, output: Path, say: Callable[[str], None], timeout_s: float) -> Outcome:
    """Run the DAG and follow it to its end.

    Raises:
        TimeoutError: it has not ended in time.
    """
    run_id = api.trigger(DAG_ID, {"folder": str(RECORDINGS), "output_path": str(output)})
    say(f"A run of {DAG_ID} is started: one task for each recording, then the tables and the report.")
    outcome = Outcome()
    deadline = time.monotonic() + timeout_s
    while True:
        state = api.run_state(DAG_ID, run_id)
        tasks = api.task_instances(DAG_ID, run_id)
        _follow(api, run_id, tasks, outcome.recordings, say)
        if state in FINISHED_RUN:
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not ended after {timeout_s:g} s: {'; '.join(map(str, tasks))}")
        time.sleep(_POLL_S)
    outcome.recordings.sort(key=lambda item: (item.broken, item.name))
    states = {task.task_id: task for task in tasks if task.map_index < 0}
    if (made := states.get("report")) is not None and made.state == "success":
        outcome.report = Path(str(api.xcom(DAG_ID, run_id, "report")).removeprefix("file://"))
    else:
        failed = [task for task in states.values() if task.state == "failed"]
        outcome.error = "\n".join(f"{task}: {_error(api, task)}" for task in failed)
    return outcome


def _follow(
    api: AirflowApi, run_id: str, tasks: list[TaskInstance], items: list[Recording], say: Callable[[str], None]
) -> None:
    if not items:
        if not any(task.task_id == "find" and task.state == "success" for task in tasks):
            return
        items += [Recording(audio) for audio in api.xcom(DAG_ID, run_id, "find")]
    width = max(len(item.name) for item in items)
    for task in tasks:
        if task.task_id != "transcribe" or not 0 <= task.map_index < len(items):
            continue
        item = items[task.map_index]
        if task.state == item.state:
            continue
        item.state = task.state
        if task.state in FINISHED_TASK:
            _end(api, task, item)
            say(f"  {item.name:<{width}}  {_outcome(item)}")
        elif task.state in _STEPS:
            say(f"  {item.name:<{width}}  {_STEPS[task.state]}")


def _end(api: AirflowApi, task: TaskInstance, item: Recording) -> None:
    if task.state == "success":
        item.summary = api.xcom(DAG_ID, task.run_id, "transcribe", task.map_index)
    else:
        item.reason = _error(api, task)


def _outcome(item: Recording) -> str:
    if item.summary:
        return f"done: {item.summary['word_count']} words"
    return "failed, as it should" if item.broken else f"FAILED: {item.reason}"


def _error(api: AirflowApi, task: TaskInstance) -> str:
    error = api.task_error(DAG_ID, task.run_id, task.task_id, task.map_index, try_number=task.try_number)
    return error or f"task {task.task_id} failed; its log says why"
