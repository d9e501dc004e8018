"""The faults. Each is brought about in a running Airflow, and must leave one transcript and its whole outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_asr.api.client import AssemblyAIClient
from demo.service import API_KEY
from tests.e2e.world import RECORDINGS, EchoService, Run, World, wait_until
from tests.faults.cases import TASK, Case, Row
from tests.faults.proxy import Proxy

HEARTBEAT_TIMEOUT_S = 20

# So that a worker, or a scheduler, that no longer says that it lives is missed soon.
SETTINGS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT_S),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "4",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
    "AIRFLOW__CORE__PARALLELISM": "24",
}

HOLD = Path(__file__).parent / "hold"
DAGS = Path(__file__).parent / "dags"


@dataclass(frozen=True)
class Scenes:
    """Where the faults happen."""

    world: World
    holds: Path
    proxy: Proxy | None = None
    services: Mapping[str, EchoService] = field(default_factory=dict)
    """Those with a Connection of their own, by its id."""

    def case(
        self, fault: str, *, slot: bool = False, process_s: float = 6.0, connection: str = "echo", **more: Any
    ) -> Case:
        """Return a run to be disturbed."""
        dag_id = "recovering_in_a_slot" if slot else "recovering_deferred"
        service = self.services.get(connection, self.world.echo)
        return Case(self.world, self.holds, fault, service, connection, dag_id, process_s, **more)


def holding(holds: Path) -> dict[str, str]:
    """Return the settings of an Airflow whose workers can be stopped at a step."""
    holds.mkdir(parents=True, exist_ok=True)
    return {"PYTHONPATH": str(HOLD), "ASR_TEST_HOLDS": str(holds)}


# Workers that are killed ---------------------------------------------------------------------------------------------

KILLS = {
    "worker killed before the intent": "before record intent",
    "worker killed after the intent": "after record intent",
    "worker killed during the upload": "before read audio",
    "worker killed before the service accepts": "before submit",
    "worker killed after the service accepted": "after submit",
    "worker killed before the id is kept": "before record submitted",
    "worker killed after the id was kept": "after record submitted",
    "worker killed before execute_complete": "before execute_complete",
    "worker killed before the outputs": "before write json",
    "worker killed during the outputs": "after write json",
    "worker killed in the middle of an output": "before rename txt",
    "worker killed before the receipt": "before write receipt",
    "worker killed after the outputs": "before record finished",
    "worker killed after the end": "after record finished",
}
SLOT_KILLS = {
    "worker in a slot killed after the service accepted": "after submit",
    "worker in a slot killed while it waits": "after record submitted",
    "worker in a slot killed during the outputs": "after write json",
}
SUPERVISOR_KILLS = {
    "worker and supervisor killed after the service accepted": "after submit",
    "worker and supervisor killed during the outputs": "after write json",
}
PAUSES = {
    "worker paused before the intent, awake after the next try": "before record intent",
    "worker paused after the intent, awake after the next try": "after record intent",
    "worker paused after the service accepted, awake after the next try": "after submit",
}


def killed(scenes: Scenes, fault: str, step: str, *, slot: bool = False, supervisor: bool = False) -> Row:
    """The worker is killed at a step, by itself or with its supervisor."""
    case = scenes.case(fault, slot=slot, parts=int("rename" in step)).start(step)
    case.held().kill(supervisor=supervisor)
    return case.finish()


def undisturbed(scenes: Scenes, fault: str, *, slot: bool = False) -> Row:
    """Nothing happens: what is measured of the others is measured here, too."""
    return scenes.case(fault, slot=slot).start().finish()


def killed_over_speech(scenes: Scenes) -> Row:
    """The worker dies when the service has accepted real speech, which its recogniser then hears."""
    whisper, recording = scenes.world.whisper, RECORDINGS / "call-06-internet-outage.mp3"
    client = AssemblyAIClient(API_KEY, base_url=whisper.url)
    with recording.open("rb") as audio:
        before = client.submit(client.upload(audio))
    wait_until(lambda: client.get(before.id).ended, "the recogniser has heard it once", 300)
    heard = client.get(before.id).text
    client.delete(before.id)
    case = scenes.case("worker killed after the service accepted real speech", recording=recording, heard=heard)
    case = replace(case, service=whisper, connection="assemblyai_default").start("after submit")
    case.held().kill()
    return case.finish()


def paused(scenes: Scenes, fault: str, step: str) -> Row:
    """The worker is paused past its heartbeat; it wakes up when the next try has done the work."""
    case = scenes.case(fault).start(step)
    held = case.held()
    held.stop()
    try:
        case.run.wait_for(TASK, "success", timeout_s=300)
        case.let_go()
    finally:
        held.go_on()
    row = case.finish()
    wait_until(lambda: is_gone(held.pid), "the paused worker ends", 90)  # It sees that it is too late.
    return case.row(row.tries, row.why)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, whether or not its parent has noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# People --------------------------------------------------------------------------------------------------------------


def cleared(scenes: Scenes) -> Row:
    """Somebody clears the task while it is deferred."""
    case = scenes.case("task cleared while deferred", process_s=20).start()
    case.wait_for("deferred")
    case.run.api.clear(case.dag_id, case.run.run_id, [TASK])
    _wait_for_try(case.run, 2)
    return case.finish()


def marked(scenes: Scenes, state: str) -> Row:
    """Somebody marks the deferred task failed or success, and clears it later."""
    case = scenes.case(f"task marked {state} while deferred, then cleared", process_s=20).start()
    case.wait_for("deferred")
    _patch(case.run, f"taskInstances/{TASK}", {"new_state": state})
    case.run.finish(60)
    case.run.api.clear(case.dag_id, case.run.run_id, [TASK])
    _wait_for_try(case.run, 2)
    return case.finish()


def run_cleared(scenes: Scenes) -> Row:
    """Somebody clears the whole run while its task is deferred."""
    case = scenes.case("run cleared while deferred", process_s=20).start()
    case.wait_for("deferred")
    path = f"dags/{case.dag_id}/dagRuns/{case.run.run_id}/clear"
    case.run.api.request("POST", path, json={"dry_run": False, "only_failed": False})
    _wait_for_try(case.run, 2)
    return case.finish()


def _patch(run: Run, path: str, body: dict[str, str]) -> None:
    run.api.request("PATCH", f"dags/{run.dag_id}/dagRuns/{run.run_id}/{path}", json=body)


def _wait_for_try(run: Run, number: int) -> None:
    wait_until(lambda: run.task(TASK).try_number >= number, "the next try begins", 60)


# Everything else -----------------------------------------------------------------------------------------------------


def around(scenes: Scenes, fault: str, disturb: Callable[[Scenes], None], connection: str = "echo") -> list[Row]:
    """Something that all tasks need fails while two of them wait, one in each mode, and one more is about to begin."""
    cases = [
        scenes.case(f"{fault} ({mode})", slot=mode == "in a slot", process_s=25, connection=connection).start()
        for mode in ("deferred", "in a slot")
    ]
    cases[0].wait_for("deferred")
    cases[1].wait_for("running")
    wait_until(lambda: all(case.submitted for case in cases), "both were submitted")
    disturb(scenes)
    return in_parallel([case.finish for case in cases])


def triggerer_killed(scenes: Scenes) -> None:
    scenes.world.airflow.kill("triggerer")
    scenes.world.airflow.restart("triggerer")


def scheduler_killed(scenes: Scenes) -> None:
    """LocalExecutor's workers are its children, and die with it."""
    scenes.world.airflow.kill("scheduler")
    scenes.world.airflow.restart("scheduler")


def api_server_killed(scenes: Scenes) -> None:
    """Workers reach the task state store through it, and nothing else of Airflow."""
    scenes.world.airflow.kill("api-server")
    time.sleep(5)
    scenes.world.airflow.restart("api-server")


def server_killed(scenes: Scenes) -> None:
    scenes.world.echo.kill()
    time.sleep(5)
    scenes.world.echo.start()


def network_cut(scenes: Scenes) -> None:
    assert scenes.proxy is not None
    with scenes.proxy.cut():
        time.sleep(60)


def database_restarted(scenes: Scenes) -> None:
    assert scenes.world.postgres is not None
    scenes.world.postgres.restart()
    _revive(scenes.world)


def _revive(world: World) -> None:
    """Start again what did not survive, as whoever runs Airflow does."""
    time.sleep(5)
    for process in world.airflow.processes:
        if process.exit_code is not None:
            world.airflow.restart(process.name)
    world.airflow.wait_until_healthy()


def day_processed_again(scenes: Scenes) -> Row:
    """A day's run is killed in flight, and a backfill processes it again: a new run, with an empty state store."""
    case = scenes.case("a day's run killed in flight, then processed again")
    world, dag_id, day = scenes.world, "recovering_days", "2026-11-01"
    folder = world.audio.parent / "days"
    folder.mkdir(parents=True, exist_ok=True)
    audio = Path(world.script(case.name, text=case.text, process_s=6))
    audio.rename(folder / f"{day}.json")
    api = world.airflow.api
    api.request("POST", "variables", json={"key": "asr_test_days", "value": str(folder)})
    case.hold(dag_id, "after submit")
    api.wait_for_dag(dag_id)
    api.request("PATCH", f"dags/{dag_id}", json={"is_paused": False})
    first = backfill(world, dag_id, day, "none")
    case.held_as(dag_id).kill()
    assert first.finish(120) == "failed"
    second = backfill(world, dag_id, day, "failed")
    state = second.finish(300)
    assert first.run_id != second.run_id
    case.output.parent.mkdir(parents=True, exist_ok=True)
    (folder / "text").rename(case.output)
    return case.row(2, "" if state == "success" else f"the second run is {state}")


def backfill(world: World, dag_id: str, day: str, reprocess: str) -> Run:
    api = world.airflow.api
    known = {run["dag_run_id"] for run in api.get(f"dags/{dag_id}/dagRuns")["dag_runs"]}
    moment = f"{day}T00:00:00Z"
    body = {"dag_id": dag_id, "from_date": moment, "to_date": moment, "reprocess_behavior": reprocess}
    # The backfill before may be called active for some seconds after its run has ended.
    wait_until(lambda: api.request("POST", "backfills", json=body, accept=(409,)).ok, "a backfill can begin", 120)

    def new() -> list[str]:
        return [
            run["dag_run_id"] for run in api.get(f"dags/{dag_id}/dagRuns")["dag_runs"] if run["dag_run_id"] not in known
        ]

    wait_until(new, "the backfill's run begins", 60)
    return Run(api, dag_id, new()[0], world.airflow.logs / "scheduler.log")


def in_parallel(jobs: list[Callable[[], Row]]) -> list[Row]:
    """Do all at once, and return the rows in order. What cannot even be measured is a row, too."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]
