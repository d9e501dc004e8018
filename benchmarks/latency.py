"""Measures how long it takes from a transcript's completion at the service to the start of the next task.

Beside it is Airflow's own floor: a task that defers for as long, on a trigger that is told the moment beforehand and
has nothing to ask. All in a real Airflow on PostgreSQL, with nothing else to do, one run after the other. Run it as
``python -m benchmarks.latency [--rounds 5]``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import judge, print_table, save, shown, spread
from benchmarks.stage import CONNECTION, Stage, stage
from benchmarks.stand_in import StandIn
from demo.processes import end_on_signals

# So long that the first look, ten to twelve seconds after deferring, is not the one that finds it.
PROCESS_S = (15.0, 20.0)
INTERVAL_S = 3.0  # Between two looks at a transcript of that age, and up to a fifth more.
MOST_OVER_FLOOR_S = 1.2 * INTERVAL_S

# What happens after the moment, and in which column of which task the database says when it did.
PARTS = {
    "event": ("wait", "scheduled_dttm"),
    "task over": ("wait", "end_date"),
    "next task": ("begin", "start_date"),
}
FLOOR, SENSOR, OPERATOR = "floor: a trigger that is told", "this package: sensor", "this package: transcribe operator"

Times = Mapping[str, float]


def main() -> int:
    arguments = _arguments()
    end_on_signals()
    logging.disable(logging.WARNING)
    times: dict[str, list[Times]] = {FLOOR: [], SENSOR: [], OPERATOR: []}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        with StandIn(PROCESS_S) as service, stage(home / "home", service) as scene:
            (home / "audio.wav").write_bytes(bytes(100_000))
            for number in range(arguments.rounds + 1):
                measured = {
                    FLOOR: _of_floor(scene),
                    SENSOR: _of_sensor(scene),
                    OPERATOR: _of_operator(scene, home / "audio.wav", home / str(number)),
                }
                if number:  # The first round starts what the others find running.
                    for name, each in measured.items():
                        times[name].append(each)
                        print(f"{name}: next task after {each['next task']:.1f} s", flush=True)
    return _report(times)


def _of_floor(scene: Stage) -> Times:
    """Wait for a moment that is known."""
    moment = time.time() + sum(PROCESS_S) / 2
    run_id = _run(scene, "told", {"moment": moment})
    return _after(scene, moment, "told", run_id)


def _of_sensor(scene: Stage) -> Times:
    """Wait for a transcript that is there already."""
    ((transcript_id, ends_at),) = scene.service.make(1, PROCESS_S).items()
    run_id = _run(scene, "noticed", {"transcript_id": transcript_id, "connection": CONNECTION})
    return _after(scene, ends_at, "noticed", run_id)


def _of_operator(scene: Stage, audio: Path, output: Path) -> Times:
    """Submit a file, wait, and write its text."""
    before = scene.service.ends()
    run_id = _run(scene, "transcribed", {"audio": str(audio), "output": str(output), "connection": CONNECTION})
    (ends_at,) = (moment for id_, moment in scene.service.ends().items() if id_ not in before)
    return _after(scene, ends_at, "transcribed", run_id)


def _run(scene: Stage, dag_id: str, params: Mapping[str, Any]) -> str:
    scene.api.wait_for_dag(dag_id)
    run_id = scene.api.trigger(dag_id, params)
    if (state := scene.api.wait_for_run(dag_id, run_id, 120)) != "success":
        raise SystemExit(f"The run of {dag_id} is {state}.")
    return run_id


def _after(scene: Stage, moment: float, dag_id: str, run_id: str) -> Times:
    rows = scene.query(
        "SELECT task_id, scheduled_dttm, start_date, end_date FROM task_instance WHERE dag_id = %s AND run_id = %s",
        dag_id,
        run_id,
    )
    found = {row[0]: dict(zip(("scheduled_dttm", "start_date", "end_date"), row[1:], strict=True)) for row in rows}
    return {part: found[task][column].timestamp() - moment for part, (task, column) in PARTS.items()}


def _report(times: Mapping[str, list[Times]]) -> int:
    print_table(
        ["seconds after the end", *PARTS],
        [[name, *(shown([run[part] for run in each], 2) for part in PARTS)] for name, each in times.items()],
    )
    over = {
        name: [run["next task"] - floor["next task"] for run, floor in zip(times[name], times[FLOOR], strict=True)]
        for name in (SENSOR, OPERATOR)
    }
    seconds = {name: {part: spread([run[part] for run in each], 2) for part in PARTS} for name, each in times.items()}
    save(
        "latency",
        {
            "rounds": len(times[FLOOR]),
            "interval_s": INTERVAL_S,
            "seconds": seconds,
            "over_floor": {name: spread(each, 2) for name, each in over.items()},
        },
    )
    passed = [judge(f"{name}, s over the floor", each, most=MOST_OVER_FLOOR_S) for name, each in over.items()]
    return 0 if all(passed) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default: 5)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
