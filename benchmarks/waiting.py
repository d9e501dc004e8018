"""Measures what it costs to wait for many transcripts in one process, and how soon their ends are noticed.

Each cell is a process of its own with a stand-in of its own; 100 and 1,000 transcripts are measured side by side, and
10,000 alone, but for the long waits. The floor, this package and a trigger per job are measured anew in each round, one
after the other; the others once, for orientation. Run it as
``python -m benchmarks.waiting [--sizes 100 1000 10000] [--rounds 5]``.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.peers import INTERVAL_S
from benchmarks.report import judge, print_table, save, shown, spread
from benchmarks.wait_cell import PROCESS_S, measure

SIZES = (100, 1000, 10_000)
MOST_CPU_PERCENT = 5.0
MOST_REQUESTS_EACH = 0.1
LEAST_CPU_RATIO = 10.0
LEAST_REQUEST_RATIO = 50.0
MOST_LAG_MS = 20.0
MOST_LATE = 1.2  # Poll intervals.
_PAGE_S, _PAGE_ROWS = 0.1, 200  # A sweep of the list takes its time for each page: 5 s for 10,000 transcripts.
_SIDE_BY_SIDE = 1000  # So many waits leave the machine idle enough to measure fewer beside them.


@dataclass(frozen=True)
class Subject:
    """A row of the table: a way of :mod:`benchmarks.peers`, how many waits it is given at most, and for what."""

    name: str
    way: str
    most: int = 10_000
    process_s: tuple[float, float] = PROCESS_S
    foreign: float = 0.0


FLOOR = Subject("floor: only sleeping", "sleeping")
OURS = Subject("this package", "this_package")
BY_DEFAULT = Subject("this package, default intervals, 20 to 60 s", "this_package_by_default", process_s=(20.0, 60.0))
JOB = Subject("a trigger per job, aiohttp session each", "session_per_job")
ONCE = (
    Subject("this package, half of the list is of others", "this_package", foreign=0.5),
    BY_DEFAULT,
    Subject("a poll per job, one aiohttp session", "shared_session"),
    Subject("vendor's package, transcribe_group", "vendor_group", most=1000),
    Subject("vendor's package, async client", "vendor_async", most=1000),
    # Each makes a TLS context, 20 ms of CPU: a thousand block the event loop for half a minute.
    Subject("a trigger per job, httpx client each", "httpx_per_job", most=100),
)

Cell = Mapping[str, float]
Cells = dict[tuple[Subject, int], list[Cell]]


def main() -> int:
    arguments = _arguments()
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # A trigger per job has a connection per job.
    cells: Cells = defaultdict(list)
    for number in range(arguments.rounds):
        for subject in (FLOOR, OURS, JOB) if number % 2 == 0 else (JOB, OURS, FLOOR):
            _measure(subject, arguments.sizes, cells)
    for subject in ONCE:
        _measure(subject, arguments.sizes, cells)
    _print(cells, arguments.sizes)
    ratios = {size: _ratios(cells, size) for size in arguments.sizes}
    _print_ratios(ratios)
    _save(cells, ratios, arguments.rounds)
    return 0 if _verdict(cells, ratios) else 1


def _measure(subject: Subject, sizes: Sequence[int], cells: Cells) -> None:
    sizes = [size for size in sizes if size <= subject.most]
    small = [size for size in sizes if size <= _SIDE_BY_SIDE or subject is BY_DEFAULT]
    for together in [small, *([size] for size in sizes if size not in small)]:
        with ThreadPoolExecutor(max(len(together), 1)) as threads:
            for size, cell in zip(
                together,
                threads.map(lambda size: measure(subject.way, size, subject.process_s, subject.foreign), together),
                strict=True,
            ):
                print(f"{subject.name}, {size}: {'done' if cell else 'not done in time'}", flush=True)
                if cell:
                    cells[subject, size].append(cell)


def _ratios(cells: Cells, size: int) -> dict[str, list[float]]:
    """Return by how much a trigger per job costs more than this package, for each round that has both."""
    pairs = list(zip(cells[JOB, size], cells[OURS, size], strict=False))
    return {
        "cpu": [job["cpu_ms_per_minute"] / ours["cpu_ms_per_minute"] for job, ours in pairs],
        "requests": [job["requests"] / ours["requests"] for job, ours in pairs],
    }


def _print(cells: Cells, sizes: Sequence[int]) -> None:
    columns = {
        "CPU ms / transcript-minute": ("cpu_ms_per_minute", 2),
        "CPU % of a core": ("cpu_percent", 1),
        "requests each": ("requests_each", 3),
        "peak MB": ("memory_mb", 0),
        "loop lag p99 ms": ("lag_p99_ms", 1),
        "noticed after s, p50": ("late_p50_s", 2),
        "p95": ("late_p95_s", 2),
        "most": ("late_max_s", 2),
    }
    for size in sizes:
        rows = []
        for subject in (FLOOR, OURS, *ONCE[:2], JOB, *ONCE[2:]):
            found = cells[subject, size]
            if subject.most >= size:
                values = (
                    [shown([cell[key] for cell in found], digits) for key, digits in columns.values()] if found else []
                )
                rows.append([subject.name, *(values or ["not done in time", *"-" * (len(columns) - 1)])])
        print_table([f"{size:,} transcripts", *columns], rows)


def _print_ratios(ratios: Mapping[int, Mapping[str, list[float]]]) -> None:
    rows = [
        [f"{size:,}", *(shown(values) if values else "-" for values in each.values())] for size, each in ratios.items()
    ]
    print_table(["a trigger per job costs more than this package", "times the CPU", "times the requests"], rows)


def _save(cells: Cells, ratios: Mapping[int, Mapping[str, list[float]]], rounds: int) -> None:
    rows = [
        {
            "subject": subject.name,
            "transcripts": size,
            "process_s": subject.process_s,
            "rounds": len(found),
            **{key: spread([cell[key] for cell in found], 3) for key in (found[0] if found else ())},
        }
        for (subject, size), found in sorted(cells.items(), key=lambda item: (item[0][1], item[0][0].name))
    ]
    save(
        "waiting",
        {
            "rounds": rounds,
            "interval_s": INTERVAL_S,
            "cells": rows,
            "ratios": {
                size: {name: spread(values, 2) for name, values in each.items() if values}
                for size, each in ratios.items()
            },
        },
    )


def _verdict(cells: Cells, ratios: Mapping[int, Mapping[str, list[float]]]) -> bool:
    passed = []
    for size in ratios:
        found, many = cells[OURS, size], f"{size:,} transcripts"
        pairs = zip(found, cells[FLOOR, size], strict=False)
        beyond = [ours["cpu_percent"] - floor["cpu_percent"] for ours, floor in pairs]
        all_in = [cell["cpu_percent"] for cell in cells[BY_DEFAULT, size]]
        interval_s = max(INTERVAL_S, size / _PAGE_ROWS * _PAGE_S)
        late = [cell["late_p95_s"] / interval_s for cell in found]
        passed += [
            judge(f"{many}, CPU % of a core beyond the floor", beyond, most=MOST_CPU_PERCENT),
            judge(f"{many}, CPU % of a core, default intervals, all in", all_in, most=MOST_CPU_PERCENT),
            judge(f"{many}, loop lag p99 in ms", [cell["lag_p99_ms"] for cell in found], most=MOST_LAG_MS),
            judge(f"{many}, noticed after intervals of {interval_s:g} s, p95", late, most=MOST_LATE),
            judge(f"{many}, requests each", [cell["requests_each"] for cell in found], most=MOST_REQUESTS_EACH),
        ]
        if size > _SIDE_BY_SIDE:
            passed += [
                judge(f"{many}, CPU of a trigger per job to ours", ratios[size]["cpu"], least=LEAST_CPU_RATIO),
                judge(f"{many}, its requests to ours", ratios[size]["requests"], least=LEAST_REQUEST_RATIO),
            ]
    return all(passed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="transcripts (default: 100 1000 10000)")
    parser.add_argument("--rounds", type=int, default=5, help="of this package and a trigger per job (default: 5)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
