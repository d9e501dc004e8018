"""A thousand triggers in one triggerer, while the service fails three requests of ten and dies twice.

Run it as ``python -m tests.faults.load [NUMBER]``. Deferred task instances are copied in the database. While the
triggers fire, no scheduler runs: the event of each stays in the database, where it is read. Then a few are let go on.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.jobs.schedule import RequestBudget
from airflow_asr.local.testing import scripted_audio
from demo.processes import end_on_signals
from demo.service import API_KEY
from tests.e2e.world import EchoService, Run, World, wait_until, world
from tests.faults.scenarios import DAGS, SETTINGS

DAG_ID, TASK_ID = "loaded", "wait"
RESUMED = 10
KILL_AFTER_S = (30.0, 60.0)
LONGEST_S = 100
TROUBLE: tuple[dict[str, Any], ...] = (
    {"action": "answer", "status": 429, "headers": {"Retry-After": "1"}, "share": 0.02},
    {"action": "answer", "status": 429, "share": 0.06},
    {"action": "answer", "status": 500, "share": 0.07},
    {"action": "answer", "status": 503, "body": "not JSON", "share": 0.08},
    {"action": "drop", "share": 0.1},
)
"""One after the other: three requests of ten in all."""


@dataclass(frozen=True)
class Outcome:
    """What the load led to.

    Attributes:
        number: triggers.
        right: those that fired with the outcome of their transcript.
        wrong: what the others did, and how many of them.
        resumed: tasks that then went on to their right end, of :data:`RESUMED`.
        requests: status requests at the service, over its lives.
        allowed: requests that the triggerer's share allowed in that time.
        seconds: from the first trigger to the last event.
    """

    number: int
    right: int
    wrong: dict[str, int]
    resumed: int
    requests: int
    allowed: int
    seconds: float

    @property
    def lost(self) -> int:
        """Waiters that were failed by a hiccup, or not woken."""
        return self.number - self.right + (RESUMED - self.resumed)


def run(home: Path, number: int = 1000) -> Outcome:
    """Bring the load about, in a directory of its own."""
    service = EchoService(home / "busy", concurrency=number + 50)
    env = {
        **SETTINGS,
        "AIRFLOW__TRIGGERER__CAPACITY": str(number + 100),
        "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": str(number + 100),
    }
    with (
        service,
        world("postgres", home, env=env, connections={"busy": service.connection}, dag_folders=[DAGS]) as started,
    ):
        return _load(started, service, number)


def _load(world: World, service: EchoService, number: int) -> Outcome:
    original = _defer_one(world, service)
    world.airflow.kill("scheduler")
    ends = _submit(service, number)
    ids = world.airflow.home / "ids.json"
    ids.write_text(json.dumps(list(ends)))
    before = service.requests("GET", "/v2/transcript/{id}")
    service.trouble(TROUBLE)
    began = time.monotonic()
    world.airflow.run_script(Path(__file__).with_name("clone_waiting.py"), DAG_ID, original.run_id, str(ids))
    requests = -before
    for after_s in KILL_AFTER_S:
        time.sleep(max(after_s - (time.monotonic() - began), 0))
        requests += service.requests("GET", "/v2/transcript/{id}")
        service.kill()
        time.sleep(2)
        service.start()
        service.trouble(TROUBLE)
    wait_until(lambda: not _waiting(world), "all triggers have fired", 420)
    seconds = time.monotonic() - began
    requests += service.requests("GET", "/v2/transcript/{id}")
    service.trouble(())
    events = _events(world)
    said = [_said(events[f"load__{each:04}"]) for each in range(number)]
    wrong = Counter(what for what, right in zip(said, ends.items(), strict=True) if what != right)
    budget = RequestBudget()
    return Outcome(
        number,
        number - wrong.total(),
        {str(what): count for what, count in wrong.items()},
        _resume(world, list(ends.values())),
        requests,
        int(budget.burst + budget.per_s * seconds),
        seconds,
    )


def _defer_one(world: World, service: EchoService) -> Run:
    with AssemblyAIClient(API_KEY, base_url=service.url) as client:
        long = client.submit(client.upload([scripted_audio("The first.", process_s=900)])).id
    original = world.start(DAG_ID, transcript_id=long, connection="busy")
    original.wait_for(TASK_ID, "deferred")
    return original


def _submit(service: EchoService, number: int) -> dict[str, str]:
    """Submit transcripts that end one after the other, one of twenty in error; return how each will end."""
    ends: dict[str, str] = {}
    with AssemblyAIClient(API_KEY, base_url=service.url) as client:
        for group in range(20):
            error = {"error": "File does not appear to contain audio"} if group == 7 else {}
            seconds = 15 + (LONGEST_S - 15) * group / 19
            url = client.upload([scripted_audio(f"Group {group}.", process_s=seconds, **error)])
            for _ in range(number // 20):
                ends[client.submit(url).id] = "error" if error else "completed"
    assert len(ends) == number, "Give a multiple of 20."
    return ends


def _query(world: World, sql: str) -> list[tuple[Any, ...]]:
    assert world.postgres is not None
    with psycopg2.connect(world.postgres.url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def _waiting(world: World) -> int:
    [(count,)] = _query(
        world, "SELECT count(*) FROM task_instance WHERE run_id LIKE 'load\\_\\_%' AND state = 'deferred'"
    )
    return int(count)


def _events(world: World) -> dict[str, str]:
    """Return what each copied task instance was woken with."""
    rows = _query(world, "SELECT run_id, next_kwargs::text FROM task_instance WHERE run_id LIKE 'load\\_\\_%'")
    return {run_id: kwargs or "" for run_id, kwargs in rows}


def _said(kwargs: str) -> tuple[str, str]:
    """Return the id and the status of an event, whatever Airflow has wrapped it in."""
    found: dict[str, str] = {}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.update({key: each for key, each in value.items() if key in ("transcript_id", "status")})
            for each in value.values():
                look(each)

    look(json.loads(kwargs or "{}"))
    return found.get("transcript_id", ""), found.get("status", kwargs[:200])


def _resume(world: World, ends: list[str]) -> int:
    """Let the first few go on on a worker, and return how many came to their right end."""
    for table in ("task_instance", "dag_run"):
        _query(
            world, f"UPDATE {table} SET state = 'success' WHERE run_id LIKE 'load%' AND run_id >= 'load__{RESUMED:04}'"
        )
    world.airflow.restart("scheduler")
    right = {"completed": "success", "error": "failed"}
    runs = [Run(world.airflow.api, DAG_ID, f"load__{each:04}", Path()) for each in range(RESUMED)]
    return sum(run.finish(180) == right[end] for run, end in zip(runs, ends, strict=False))


def main(number: int) -> int:
    end_on_signals()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="load-", ignore_cleanup_errors=True) as folder:
        outcome = run(Path(folder), number)
    show(outcome)
    return int(bool(outcome.lost) or outcome.requests > outcome.allowed)


def show(outcome: Outcome) -> None:
    """Print a small table."""
    print(f"{outcome.number} triggers, 30 % of replies bad, service killed {len(KILL_AFTER_S)} times:")
    print(f"  woken rightly {outcome.right}, wrongly {outcome.wrong or 0}, in {outcome.seconds:.0f} s")
    print(f"  went on to the right end: {outcome.resumed} of {RESUMED}")
    print(f"  status requests {outcome.requests}, the share allowed {outcome.allowed}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
