"""Brings all faults about, one after the other or side by side, and counts what they cost: ``python -m tests.faults``.

The last line is computed from the service's own list, the outputs on the disk, and all that was written down.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from demo.processes import end_on_signals
from demo.service import API_KEY
from tests.e2e.world import World, world
from tests.faults import scenarios
from tests.faults.cases import Row
from tests.faults.proxy import Proxy
from tests.faults.scenarios import Scenes

SECRETS = (API_KEY, "X-Amz-Signature", "X-Amz-Credential")


def main() -> int:
    end_on_signals()
    logging.disable(logging.WARNING)  # What the checks themselves do is of no interest.
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        rows, leaks = _run(home, {**scenarios.SETTINGS, **scenarios.holding(home / "holds")})
    _print(rows)
    duplicates = sum(max(row.made - row.wanted, 0) for row in rows)
    lost = sum(row.lost for row in rows)
    print(f"{len(rows)} runs in {time.monotonic() - began:.0f} s")
    for leak in leaks:
        print(f"leaked: {leak}")
    print(f"duplicates: {duplicates} lost: {lost} leaked: {len(leaks)}")
    return int(bool(duplicates or lost or leaks))


def _run(home: Path, env: dict[str, str]) -> tuple[list[Row], list[str]]:
    proxy = Proxy()
    far = json.dumps({"conn_type": "assemblyai", "password": API_KEY, "extra": {"base_url": proxy.url}})
    with proxy, world("postgres", home, env=env, connections={"far": far}, dag_folders=[scenarios.DAGS]) as started:
        proxy.lead_to(started.echo.port)
        scenes = Scenes(started, home / "holds", proxy)
        rows = _workers(scenes) + _people(scenes) + _parts(scenes)
        return rows, _leaks(started, home)


def _workers(scenes: Scenes) -> list[Row]:
    jobs: list[Callable[[], Row]] = []
    for fault, step in scenarios.KILLS.items():
        jobs.append(partial(scenarios.killed, scenes, fault, step))
    for fault, step in scenarios.SLOT_KILLS.items():
        jobs.append(partial(scenarios.killed, scenes, fault, step, slot=True))
    for fault, step in (
        ("worker and supervisor killed after the service accepted", "after submit"),
        ("worker and supervisor killed during the outputs", "after write json"),
    ):
        jobs.append(partial(scenarios.killed, scenes, fault, step, supervisor=True))
    for fault, step in (
        ("worker paused before the intent, awake after the next try", "before record intent"),
        ("worker paused after the intent, awake after the next try", "after record intent"),
        ("worker paused after the service accepted, awake after the next try", "after submit"),
    ):
        jobs.append(partial(scenarios.paused, scenes, fault, step))
    return _some_at_once(jobs, 8)


def _people(scenes: Scenes) -> list[Row]:
    return _some_at_once(
        [
            partial(scenarios.cleared, scenes),
            partial(scenarios.run_cleared, scenes),
            partial(scenarios.marked, scenes, "failed"),
            partial(scenarios.marked, scenes, "success"),
            partial(scenarios.day_processed_again, scenes),
        ],
        8,
    )


def _parts(scenes: Scenes) -> list[Row]:
    rows: list[Row] = []
    for fault, disturb, connection in (
        ("triggerer killed", scenarios.triggerer_killed, "echo"),
        ("scheduler killed", scenarios.scheduler_killed, "echo"),
        ("speech service killed", scenarios.server_killed, "echo"),
        ("network cut for a minute", scenarios.network_cut, "far"),
        ("metadata database restarted", scenarios.database_restarted, "echo"),
    ):
        rows += scenarios.around(scenes, fault, disturb, connection)
        _say(rows[-2:])
    return rows


def _some_at_once(jobs: list[Callable[[], Row]], number: int) -> list[Row]:
    rows: list[Row] = []
    for first in range(0, len(jobs), number):
        some = scenarios.in_parallel(jobs[first : first + number])
        _say(some)
        rows += some
    return rows


def _leaks(world: World, home: Path) -> list[str]:
    """Return where a key or the query of a signed URL can be read."""
    folders = (world.airflow.home / "logs", world.airflow.logs, home / "text", home / "days", world.echo.home)
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        if path.suffix in (".sqlite", ".db"):
            continue  # The service's own.
        data = path.read_text(errors="replace")
        found += [f"{secret[:4]}... in {path.relative_to(home)}" for secret in SECRETS if secret in data]
    dump = world.dump()
    return found + [f"{secret[:4]}... in the database" for secret in SECRETS if secret in dump]


def _say(rows: list[Row]) -> None:
    for row in rows:
        print(f"  {'ok  ' if row.made == row.wanted and not row.lost else 'FAIL'} {row.fault} {row.why}", flush=True)


def _print(rows: list[Row]) -> None:
    print(f"\n{'fault':70} {'tries':>5} {'wanted':>6} {'made':>5} {'lost':>5} {'s':>5}")
    for row in rows:
        print(f"{row.fault:70} {row.tries:5} {row.wanted:6} {row.made:5} {row.lost:5} {row.seconds:5.0f}  {row.why}")


if __name__ == "__main__":
    sys.exit(main())
