"""Brings all faults about, one after the other or side by side, and counts what they cost: ``python -m tests.faults``.

With arguments it brings about those whose name holds them.

The last line is computed from the service's own list, the outputs on the disk, and all that was written down.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from demo.processes import end_on_signals
from demo.service import API_KEY
from tests.faults import archive, load, scenarios, wire, zombies
from tests.faults.cases import TASK, Row, recount
from tests.faults.scenarios import Scenes
from tests.faults.stage import stage

# Each holds a worker for some of its time, while it looks for a job or stands still.
_AT_ONCE = 12

Single = tuple[str, Callable[[], Row]]
Job = tuple[str, Callable[[], list[Row]]]

SECRETS = (API_KEY, "X-Amz-Signature", "X-Amz-Credential")


def main() -> int:
    end_on_signals()
    logging.disable(logging.WARNING)  # What the checks themselves do is of no interest.
    began = time.monotonic()
    wanted = " ".join(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        with stage(home) as scenes:
            rows = [
                *_do([job for job in _jobs(scenes) if wanted in job[0]], _AT_ONCE),
                *_do([job for job in _parts(scenes) if wanted in job[0]], 1),
            ]
            rows = recount(rows, [scenes.world.echo, scenes.world.whisper, *scenes.services.values()])
            leaks = _leaks(scenes, home)
        loaded = None if wanted else load.run(home / "load")
        archived = None if wanted else archive.run(home / "archive")
    _print(rows)
    duplicates = sum(max(row.made - row.wanted, 0) for row in rows)
    lost = sum(row.lost for row in rows)
    if loaded:
        load.show(loaded)
        lost += loaded.lost
    if archived:
        archive.show(archived)
        duplicates, lost = duplicates + archived.duplicates, lost + archived.lost + (archived.state != "success")
    print(f"{len(rows)} runs in {time.monotonic() - began:.0f} s")
    for leak in leaks:
        print(f"leaked: {leak}")
    print(f"duplicates: {duplicates} lost: {lost} leaked: {len(leaks)}")
    return int(bool(duplicates or lost or leaks or (loaded and loaded.beyond)))


def _jobs(scenes: Scenes) -> list[Job]:
    """Return everything that disturbs one run alone. What takes longest comes first."""
    jobs: list[Job] = [("service killed over a submission", partial(wire.both_deaths, scenes))]
    for fault, job in [*_zombies(scenes), *_wires(scenes), *_workers(scenes), *_people(scenes)]:
        jobs.append((fault, partial(_listed, job)))
    return jobs


def _listed(job: Callable[[], Row]) -> list[Row]:
    return [job()]


def _zombies(scenes: Scenes) -> Iterator[Single]:
    yield "worker paused, sends during the search", partial(zombies.wakes_during_the_search, scenes)
    for fault, step in scenarios.PAUSES.items():
        yield fault, partial(scenarios.paused, scenes, fault, step)
    for fault, step in zombies.WITHOUT_SUPERVISOR.items():
        yield fault, partial(zombies.outlives_its_supervisor, scenes, fault, step)
    for fault, step in zombies.TAKEN_FOR_FAILED.items():
        yield fault, partial(zombies.taken_for_failed, scenes, fault, step)
    for fault, supervisor in zombies.AFTER_DEFERRING.items():
        yield fault, partial(zombies.dies_after_deferring, scenes, fault, supervisor=supervisor)


def _wires(scenes: Scenes) -> Iterator[Single]:
    yield "submission accepted late", partial(wire.arrives_late, scenes)
    yield "reply lost", partial(wire.reply_lost, scenes)
    for fault, step in wire.CUT_OFF.items():
        yield fault, partial(wire.cut_off, scenes, fault, step)
        yield fault, partial(wire.cut_off, scenes, f"{fault} (in a slot)", step, slot=True)
        if "upload" not in step:
            yield fault, partial(wire.cut_off, scenes, f"{fault} (signed URL)", step, bucket=True)


def _workers(scenes: Scenes) -> Iterator[Single]:
    for fault, slot in (("nothing at all", False), ("nothing at all (in a slot)", True)):
        yield fault, partial(scenarios.undisturbed, scenes, fault, slot=slot)
    yield "worker killed over speech", partial(scenarios.killed_over_speech, scenes)
    for fault, step in scenarios.KILLS.items():
        yield fault, partial(scenarios.killed, scenes, fault, step)
    for fault, step in scenarios.SLOT_KILLS.items():
        yield fault, partial(scenarios.killed, scenes, fault, step, slot=True)
    for fault, step in scenarios.SUPERVISOR_KILLS.items():
        yield fault, partial(scenarios.killed, scenes, fault, step, supervisor=True)


def _people(scenes: Scenes) -> Iterator[Single]:
    yield "task cleared while deferred", partial(scenarios.cleared, scenes)
    yield "task cleared between submission and id", partial(zombies.cleared_while_running, scenes)
    yield "run cleared", partial(scenarios.run_cleared, scenes)
    yield "task marked failed", partial(scenarios.marked, scenes, "failed")
    yield "task marked success", partial(scenarios.marked, scenes, "success")
    yield "day processed again", partial(scenarios.day_processed_again, scenes)


def _parts(scenes: Scenes) -> list[Job]:
    """Return what all runs notice, so that one follows the other."""
    jobs: list[Job] = []
    for fault, disturb, connection in (
        ("triggerer killed", scenarios.triggerer_killed, "echo"),
        ("scheduler killed", scenarios.scheduler_killed, "echo"),
        ("api-server killed", scenarios.api_server_killed, "echo"),
        ("speech service killed", scenarios.server_killed, "echo"),
        ("network cut for a minute", scenarios.network_cut, "far"),
        ("metadata database restarted", scenarios.database_restarted, "echo"),
    ):
        jobs.append((fault, partial(scenarios.around, scenes, fault, disturb, connection)))
    jobs.append(("network cut when the task begins", partial(wire.begins_in_the_cut, scenes)))
    jobs.append(("scheduler alone killed", partial(zombies.scheduler_alone_killed, scenes)))
    return jobs


def _do(jobs: list[Job], at_once: int) -> list[Row]:
    with ThreadPoolExecutor(at_once) as pool:
        return [row for rows in pool.map(_measured, jobs) for row in rows]


def _measured(job: Job) -> list[Row]:
    """Return what a fault led to. What could not even be brought about, or measured, counts as lost."""
    fault, measure = job
    try:
        rows = measure()
    except Exception as error:
        rows = [Row(fault, 0, 0, 0, 1, 0.0, f"{type(error).__name__}: {error}")]
    _say(rows)
    return rows


def _leaks(scenes: Scenes, home: Path) -> list[str]:
    """Return where a key or the query of a signed URL can be read."""
    world = scenes.world
    services = [service.home for service in (world.echo, world.whisper, *scenes.services.values())]
    folders = (world.airflow.home / "logs", world.airflow.logs, home / "text", home / "days", *services)
    texts = {"the database": world.dump()}
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        # The services may keep what they were sent.
        if "data" not in path.relative_to(home).parts:
            texts[str(path.relative_to(home))] = path.read_text(errors="replace")
    seen = [name for name, text in texts.items() if TASK in text]
    found = [] if "the database" in seen and len(seen) > 2 else ["nobody knows: hardly anything could be read"]
    return found + [
        f"{secret[:5]}... in {name}" for name, text in texts.items() for secret in SECRETS if secret in text
    ]


def _say(rows: list[Row]) -> None:
    for row in rows:
        print(f"  {'ok  ' if row.made == row.wanted and not row.lost else 'FAIL'} {row.fault} {row.why}", flush=True)


def _print(rows: list[Row]) -> None:
    print(f"\n{'fault':70} {'tries':>5} {'wanted':>6} {'made':>5} {'lost':>5} {'s':>5}")
    for row in rows:
        print(f"{row.fault:70} {row.tries:5} {row.wanted:6} {row.made:5} {row.lost:5} {row.seconds:5.0f}  {row.why}")


if __name__ == "__main__":
    sys.exit(main())
