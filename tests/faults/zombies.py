"""Two tries at once: a worker that Airflow has given up lives on, and meets its successor."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.e2e.world import Run, wait_until
from tests.faults.cases import TASK, Case, Held, Row
from tests.faults.scenarios import Scenes, is_gone

# Longer than a heartbeat timeout and a retry, shorter than the next try looks for a job.
_UNTIL_NEXT_TRY_S = 120

WITHOUT_SUPERVISOR = {
    "supervisor killed, worker lives on before the intent": "before record intent",
    "supervisor killed, worker lives on and submits": "before submit",
}
TAKEN_FOR_FAILED = {
    "taken for failed by 3.3.2 between submission and id": "after submit",
    "taken for failed by 3.3.2 before the outputs": "before write json",
    "taken for failed by 3.3.2 during the outputs": "after write json",
}
AFTER_DEFERRING = {"worker killed after deferring": False, "worker and supervisor killed after deferring": True}


def wakes_during_the_search(scenes: Scenes) -> Row:
    """The worker is paused between intent and request; it wakes up, and sends, while the next try looks for the job."""
    case = scenes.case("worker paused after the intent, sends while the next try searches").start("before submit")
    held = case.held()
    held.stop()
    try:
        _wait_until_tried_again(case, "running")
        case.let_go()
    finally:
        held.go_on()
    return _ended(case, held)


def outlives_its_supervisor(scenes: Scenes, fault: str, step: str) -> Row:
    """The supervisor alone is killed; its worker stands at a step until the next try runs, and then goes on."""
    case = scenes.case(fault).start(step)
    held = case.held()
    os.kill(held.supervisor, signal.SIGKILL)
    _wait_until_tried_again(case, "running", "deferred", "success")
    case.let_go()
    return _ended(case, held)


def taken_for_failed(scenes: Scenes, fault: str, step: str) -> Row:
    """The scheduler of 3.3.2 takes a task that runs for one that failed; the worker goes on beside the retry."""
    case = scenes.case(fault).start(step)
    held = case.held()
    _handle_failure(scenes, case.run)
    _wait_until_tried_again(case, "running", "deferred", "success")
    case.let_go()
    return _ended(case, held)


def cleared_while_running(scenes: Scenes) -> Row:
    """Somebody clears the task when the service has accepted its job and nobody has kept the id."""
    case = scenes.case("task cleared between submission and id").start("after submit")
    held = case.held()
    case.run.api.clear(case.dag_id, case.run.run_id, [TASK])
    return _ended(case, held)


def dies_after_deferring(scenes: Scenes, fault: str, *, supervisor: bool) -> Row:
    """The worker has told Airflow that it defers, and dies before it has ended."""
    case = scenes.case(fault, process_s=15).start("before end deferred")
    case.held().kill(supervisor=supervisor)
    return case.finish()


def scheduler_alone_killed(scenes: Scenes) -> list[Row]:
    """The scheduler dies and its workers do not; a new scheduler takes their tasks for orphans and runs them again."""
    fault = "scheduler killed, its workers live on"
    submitting = scenes.case(f"{fault} (about to submit)").start("before submit")
    waiting = scenes.case(f"{fault} (waiting in a slot)", slot=True, process_s=60).start()
    held = submitting.held()
    wait_until(lambda: waiting.submitted, "it waits for its transcript", 120)
    scenes.world.airflow.orphan("scheduler")
    scenes.world.airflow.restart("scheduler")
    _wait_until_tried_again(submitting, "running")
    submitting.let_go()
    return [_ended(submitting, held), waiting.finish()]


def _wait_until_tried_again(case: Case, *states: str) -> None:
    def tried_again() -> bool:
        task = case.run.task(TASK)
        return task.try_number > 1 and task.state in states

    wait_until(tried_again, f"{case.fault}: the next try runs", _UNTIL_NEXT_TRY_S)


def _ended(case: Case, held: Held) -> Row:
    row = case.finish()
    wait_until(lambda: is_gone(held.pid), f"{case.fault}: the first try ends", 120)
    return case.row(row.tries, row.why)


def _handle_failure(scenes: Scenes, run: Run) -> None:
    """Do what the scheduler does when the executor tells of an earlier leg of a task too late."""
    script = Path(__file__).with_name("handle_failure.py")
    scenes.world.airflow.run_script(script, run.dag_id, run.run_id, TASK)
