"""A thousand triggers in one triggerer, while the service fails three requests of ten and dies twice.

Run it as ``python -m tests.faults.load [NUMBER]``. Deferred task instances are copied in the database, since a task
starts in a quarter of a second at best. While the triggers fire, no scheduler runs: the event of each stays in the
database, where it is read, and the time at which it came. Then a few of all kinds are let go on, on real workers.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import pendulum

from airflow_asr.jobs.schedule import ACCOUNT_WINDOW_S, RequestBudget
from airflow_asr.local.testing import scripted_audio
from demo.processes import end_on_signals
from tests.faults.busy import DAG_ID, TASK_ID, BusyAirflow, busy_airflow
from tests.faults.meter import RequestMeter, cpu_s, memory_mb
from tests.faults.trouble import bad_replies

HERE = Path(__file__).parent
GROUPS = 20
RESUMED_GROUPS = range(1, GROUPS, 2)
FAILED_GROUP = 7
FIRST_END_S, LAST_END_S = 15.0, 60.0  # A service that dies begins again with what it had not finished.
KILL_AFTER_S = (20.0, 45.0)
PATIENCE_S = 420.0
RIGHT_END = {"completed": "success", "error": "failed"}


@dataclass(frozen=True)
class Outcome:
    """What the load led to.

    Attributes:
        number: triggers.
        right: those that fired with the outcome of their transcript.
        wrong: what the others said or hold, and how many of them.
        resumed: tasks that then went on to their right end, of those that were let.
        requests: status requests at the service, over its lives.
        busiest: the most of them in five minutes.
        beyond: by how many they exceeded the budget of a process, at any time.
        seconds: from the first trigger to the last event.
        late_s: seconds from a transcript's end to its event. The service keeps no time of those that ended in error.
        cpu_s: CPU seconds of the triggerer in that time.
        idle_mb: its memory before.
        most_mb: its memory at most.
    """

    number: int
    right: int
    wrong: Mapping[str, int]
    resumed: int
    requests: int
    busiest: int
    beyond: int
    seconds: float
    late_s: list[float]
    cpu_s: float
    idle_mb: float
    most_mb: float

    @property
    def lost(self) -> int:
        """Waiters that were failed by a hiccup, or not woken, or did not go on."""
        return self.number - self.right + (len(RESUMED_GROUPS) - self.resumed)


def run(home: Path, number: int = 1000) -> Outcome:
    """Bring the load about, in a directory of its own."""
    assert number % GROUPS == 0, f"Give a multiple of {GROUPS}."
    with busy_airflow(home, number) as scene:
        return _load(scene, number)


def _load(scene: BusyAirflow, number: int) -> Outcome:
    original = _defer_one(scene)
    scene.airflow.kill("scheduler")
    idle_mb = memory_mb(scene.triggerer)
    ends = _submit(scene, number)
    ids = scene.airflow.home / "ids.json"
    ids.write_text(json.dumps(list(ends)))
    meter = RequestMeter(scene.status_requests)
    scene.service.trouble(bad_replies())
    cpu_before_s, began = cpu_s(scene.triggerer), time.monotonic()
    scene.airflow.run_script(HERE / "clone_waiting.py", DAG_ID, original, str(ids))
    most_mb = _wait_for_all(scene, meter, began)
    seconds, used_s = time.monotonic() - began, cpu_s(scene.triggerer) - cpu_before_s
    scene.service.trouble(())
    wrong = Counter(said[1] for said, right in zip(_said(scene), ends.items(), strict=True) if said != right)
    return Outcome(
        number=number,
        right=number - wrong.total(),
        wrong=wrong,
        late_s=_late_s(scene),
        resumed=_resume(scene, list(ends.values())),
        requests=meter.total,
        busiest=meter.most_in(ACCOUNT_WINDOW_S),
        beyond=meter.beyond(RequestBudget()),
        seconds=seconds,
        cpu_s=used_s,
        idle_mb=idle_mb,
        most_mb=most_mb,
    )


def _defer_one(scene: BusyAirflow) -> str:
    with scene.client() as client:
        long = client.submit(client.upload([scripted_audio("The first.", process_s=900)])).id
    scene.api.wait_for_dag(DAG_ID)
    run_id = scene.api.trigger(DAG_ID, {"transcript_id": long, "connection": "busy"})
    scene.api.wait_for_task(DAG_ID, run_id, TASK_ID, ("deferred",), timeout_s=120)
    return run_id


def _submit(scene: BusyAirflow, number: int) -> dict[str, str]:
    """Submit transcripts that end one group after the other, one of them in error; return how each will end."""
    ends: dict[str, str] = {}
    with scene.client() as client:
        for group in range(GROUPS):
            error = {"error": "File does not appear to contain audio"} if group == FAILED_GROUP else {}
            seconds = FIRST_END_S + (LAST_END_S - FIRST_END_S) * group / (GROUPS - 1)
            url = client.upload([scripted_audio(f"Group {group}.", process_s=seconds, **error)])
            for _ in range(number // GROUPS):
                ends[client.submit(url).id] = "error" if error else "completed"
    return ends


def _wait_for_all(scene: BusyAirflow, meter: RequestMeter, began: float) -> float:
    """Wait until all triggers have fired, or for long enough, and let the service die meanwhile.

    Returns:
        The triggerer's memory at most, in MB.
    """
    deaths = list(KILL_AFTER_S)
    most_mb = 0.0
    while (passed_s := time.monotonic() - began) < PATIENCE_S and (deaths or scene.waiting()):
        meter.read()
        most_mb = max(most_mb, memory_mb(scene.triggerer))
        if deaths and passed_s > deaths[0]:
            deaths.pop(0)
            scene.die_and_come_back(meter)
        time.sleep(1)
    meter.read()
    return most_mb


def _said(scene: BusyAirflow) -> list[tuple[str, str]]:
    """Return the id and the status of each event; of what was not woken by one, its state and what it holds."""
    rows = scene.query(
        "SELECT state, next_kwargs::jsonb FROM task_instance WHERE starts_with(run_id, 'load__') ORDER BY run_id"
    )
    said = []
    for state, kwargs in rows:
        event = _found(kwargs, "event")
        id_, status = _found(event, "transcript_id"), _found(event, "status")
        said.append((id_, status) if state == "scheduled" and status else (str(state), json.dumps(kwargs)[:200]))
    return said


def _found(value: Any, key: str) -> Any:
    """Return what a key leads to, whatever Airflow has wrapped it in."""
    if not isinstance(value, dict):
        return None
    if key in value:
        return value[key]
    return next((found for each in value.values() if (found := _found(each, key)) is not None), None)


def _late_s(scene: BusyAirflow) -> list[float]:
    with scene.client() as client:
        ended = {row.id: pendulum.parse(row.raw["completed"]) for row in client.walk() if row.raw["completed"]}
    rows = scene.query(
        "SELECT dag_run.conf::jsonb ->> 'transcript_id', task.scheduled_dttm FROM task_instance AS task"
        " JOIN dag_run USING (dag_id, run_id) WHERE starts_with(run_id, 'load__') AND task.state = 'scheduled'"
    )
    return [(woken - ended[id_]).total_seconds() for id_, woken in rows if id_ in ended]


def _resume(scene: BusyAirflow, ends: list[str]) -> int:
    """Let one of each other group go on on a worker, and return how many came to their right end."""
    size = len(ends) // GROUPS
    chosen = {f"load__{group * size:04}": ends[group * size] for group in RESUMED_GROUPS}
    for table in ("task_instance", "dag_run"):
        scene.query(
            f"UPDATE {table} SET state = 'success' WHERE starts_with(run_id, 'load__') AND NOT run_id = ANY(%s)",
            list(chosen),
        )
    scene.airflow.restart("scheduler")
    came = {run_id: scene.api.wait_for_run(DAG_ID, run_id, 180) for run_id in chosen}
    return sum(came[run_id] == RIGHT_END[end] for run_id, end in chosen.items())


def main(number: int) -> int:
    end_on_signals()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="load-", ignore_cleanup_errors=True) as folder:
        outcome = run(Path(folder), number)
    show(outcome)
    return int(bool(outcome.lost or outcome.beyond))


def show(outcome: Outcome) -> None:
    """Print a small table."""
    percents = quantiles(outcome.late_s, n=100) if len(outcome.late_s) > 1 else [0.0] * 99
    worst_s = max(outcome.late_s, default=0.0)
    share = RequestBudget()
    share_of_window = share.burst + share.per_s * ACCOUNT_WINDOW_S
    print(f"{outcome.number} triggers, 30 % of replies bad, service killed {len(KILL_AFTER_S)} times:")
    for name, value in {
        "fired rightly": f"{outcome.right} in {outcome.seconds:.0f} s",
        "wrongly or not at all": str(dict(outcome.wrong) or 0),
        "went on to the right end": f"{outcome.resumed} of {len(RESUMED_GROUPS)}",
        "end to event": f"median {percents[49]:.0f} s, p95 {percents[94]:.0f} s, worst {worst_s:.0f} s",
        "status requests": f"{outcome.requests}, {outcome.requests / outcome.number:.1f} for a transcript",
        "busiest five minutes": f"{outcome.busiest} of {share_of_window:.0f}, beyond the budget {outcome.beyond}",
        "triggerer": f"{outcome.cpu_s:.0f} CPU s ({outcome.cpu_s / outcome.seconds:.0%} of a core), "
        f"{outcome.idle_mb:.0f} MB idle, {outcome.most_mb:.0f} MB at most",
    }.items():
        print(f"  {name:26} {value}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
