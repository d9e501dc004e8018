"""Measures what thousands of waits cost the triggerer of a real Airflow, beside triggers that only sleep.

Deferred task instances are copied in the database, since a task starts in a quarter of a second at best, and no
scheduler runs meanwhile. No transcript ends: what is measured is waiting. Floor and package are loaded in turns, and
two windows of each load are measured; the others once. Run it as ``python -m benchmarks.triggerer [--number 2000]``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from benchmarks.report import ROOT, judge, print_table, save, shown, spread
from benchmarks.stage import CONNECTION, Stage, stage
from benchmarks.stand_in import LIST, STATUS, StandIn
from demo.processes import end_on_signals
from tests.faults.meter import cpu_s, memory_mb

MOST_OF_FLOOR = 1.2
MOST_LAG_MS = 20.0
WINDOW_S = 30.0
_AGE_S = 60.0  # What waits is looked at less often as it grows older; most transcripts are done by then.
_WINDOWS = 2
_SETTLE_S, _SETTLED, _PATIENCE_S = 5.0, 0.9, 180.0
_DAY_S = (86_400.0, 86_401.0)


@dataclass(frozen=True)
class Subject:
    """A row of the table, and the trigger that it is of. All take the arguments of the sensor's."""

    name: str
    trigger: str


FLOOR = Subject("floor: only sleeping", "benchmarks.triggers.SleepingTrigger")
OURS = Subject("this package", "airflow_asr.triggers.assemblyai.AssemblyAITranscriptTrigger")
POLLING = Subject("a poll per job, one aiohttp session", "benchmarks.triggers.PollingTrigger")

Window = Mapping[str, float]


def main() -> int:
    arguments = _arguments()
    end_on_signals()
    logging.disable(logging.WARNING)
    windows: dict[Subject, list[Window]] = {FLOOR: [], OURS: [], POLLING: []}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, StandIn() as service:
        lags, most = Path(folder) / "lags", str(arguments.number + 100)
        env = {
            "AIRFLOW__TRIGGERER__CAPACITY": most,
            "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": most,
        }
        with stage(Path(folder) / "home", service, env) as scene:
            (transcript_id,) = service.make(1, _DAY_S)
            original = _defer(scene, "waiting", {"transcript_id": transcript_id, "connection": CONNECTION})
            _defer(scene, "lagging", {"lag_file": str(lags)})
            scene.airflow.kill("scheduler")
            # The last one leaves the triggerer with much to answer that nobody wants any more.
            for subject in (*(FLOOR, OURS) * arguments.rounds, POLLING):
                windows[subject] += _measure(scene, subject, original, arguments.number, lags)
    return _report(windows, arguments.number)


def _measure(scene: Stage, subject: Subject, original: str, number: int, lags: Path) -> list[Window]:
    """Load so many triggers, let them settle, measure, and remove them."""
    ids = list(scene.service.make(number, _DAY_S))
    before_s = cpu_s(scene.process("triggerer"))
    _load(scene, original, ids, subject.trigger)
    while scene.query("SELECT 1 FROM trigger WHERE triggerer_id IS NULL"):
        time.sleep(0.5)
    old_at = time.monotonic() + _AGE_S
    _settle(scene)
    loading_s = cpu_s(scene.process("triggerer")) - before_s
    time.sleep(max(old_at - time.monotonic(), 0.0))
    windows: list[Window] = [{**_window(scene, lags), "loading_cpu_s": loading_s} for _ in range(_WINDOWS)]
    for each in windows:
        print(f"{subject.name}: {each['cpu_percent']:.1f} % of a core, {loading_s:.0f} CPU s to begin", flush=True)
    scene.query("DELETE FROM task_instance WHERE starts_with(run_id, 'load__')")
    scene.query("DELETE FROM dag_run WHERE starts_with(run_id, 'load__')")
    scene.query("DELETE FROM trigger WHERE id NOT IN (SELECT trigger_id FROM task_instance WHERE trigger_id > 0)")
    time.sleep(5)  # The triggerer looks for what is gone once a second.
    return windows


def _settle(scene: Stage) -> None:
    """Wait until the triggerer has begun all its triggers: it then uses no less CPU than a moment before."""
    triggerer, began, used_s = scene.process("triggerer"), time.monotonic(), [float("inf")]
    while time.monotonic() - began < _PATIENCE_S:
        before_s = cpu_s(triggerer)
        time.sleep(_SETTLE_S)
        used_s.append(cpu_s(triggerer) - before_s)
        if len(used_s) > 3 and used_s[-1] > _SETTLED * used_s[-2] and used_s[-2] > _SETTLED * used_s[-3]:
            return


def _window(scene: Stage, lags: Path) -> Window:
    triggerer = scene.process("triggerer")
    asked, lag_count = _requests(scene.service), len(lags.read_text().splitlines())
    used_s, began = cpu_s(triggerer), time.monotonic()
    time.sleep(WINDOW_S)
    took_s, used_s = time.monotonic() - began, cpu_s(triggerer) - used_s
    late_s = [float(line) for line in lags.read_text().splitlines()[lag_count:]]
    return {
        "cpu_percent": used_s / took_s * 100,
        "lag_p99_ms": quantiles(late_s, n=100, method="inclusive")[98] * 1000,
        "requests_per_s": (_requests(scene.service) - asked) / took_s,
        "memory_mb": memory_mb(triggerer),
    }


def _requests(service: StandIn) -> int:
    counts = service.counts()
    return counts.get(STATUS, 0) + counts.get(LIST, 0)


def _defer(scene: Stage, dag_id: str, params: Mapping[str, str]) -> str:
    scene.api.wait_for_dag(dag_id)
    run_id = scene.api.trigger(dag_id, params)
    scene.api.wait_for_task(dag_id, run_id, "wait", ("deferred",), timeout_s=120)
    return run_id


def _load(scene: Stage, original: str, ids: list[str], trigger: str) -> None:
    file = scene.airflow.home / "ids.json"
    file.write_text(json.dumps(ids))
    script = ROOT / "tests" / "faults" / "clone_waiting.py"
    scene.airflow.run_script(script, "waiting", original, str(file), trigger)


def _report(windows: Mapping[Subject, list[Window]], number: int) -> int:
    columns = {
        "triggerer, CPU % of a core": ("cpu_percent", 2),
        "CPU ms / transcript-minute": ("cpu_ms_per_minute", 2),
        "requests / s": ("requests_per_s", 2),
        "loop lag p99 ms": ("lag_p99_ms", 1),
        "CPU s to begin all": ("loading_cpu_s", 1),
        "MB": ("memory_mb", 0),
    }
    for each in windows.values():
        each[:] = [{**window, "cpu_ms_per_minute": window["cpu_percent"] * 600 / number} for window in each]
    print_table(
        [f"{number:,} triggers", *columns],
        [
            [subject.name, *(shown([window[key] for window in each], digits) for key, digits in columns.values())]
            for subject, each in windows.items()
        ],
    )
    ratios = [
        ours["cpu_percent"] / floor["cpu_percent"] for ours, floor in zip(windows[OURS], windows[FLOOR], strict=True)
    ]
    rows = {
        subject.name: {key: spread([window[key] for window in each], 3) for key, _ in columns.values()}
        for subject, each in windows.items()
    }
    save("triggerer", {"triggers": number, "window_s": WINDOW_S, "rows": rows, "of_floor": spread(ratios, 2)})
    passed = [
        judge("CPU of this package to that of the floor", ratios, most=MOST_OF_FLOOR),
        judge("loop lag p99 in ms", [window["lag_p99_ms"] for window in windows[OURS]], most=MOST_LAG_MS),
    ]
    return 0 if all(passed) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.triggerer", description=__doc__)
    parser.add_argument("--number", type=int, default=2000, help="triggers (default: 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="loads of floor and package, in turns (default: 3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
