"""One measurement of many waits, in a process of its own: what they cost it, and how soon each noticed."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from statistics import quantiles

from benchmarks import peers
from benchmarks.report import ROOT, peak_memory_mb
from benchmarks.stand_in import LIST, STATUS, StandIn

PROCESS_S = (6.0, 13.0)
HISTORY = 2000
_LAG_STEP_S = 0.05
_START_STEP_S = 0.05
_PATIENCE_S = 30.0


def measure(
    way: str, number: int, process_s: tuple[float, float] = PROCESS_S, foreign: float = 0.0
) -> dict[str, float] | None:
    """Wait for so many transcripts in one of the ways of :mod:`benchmarks.peers`.

    Args:
        way: the name of its function.
        number: of transcripts, all of which are there when the waits begin.
        process_s: each ends after a time between these two, in seconds.
        foreign: the share of others in the list.

    Returns:
        What it cost, or None if not all had noticed the end half a minute after the last.
    """
    with StandIn(foreign=foreign, history=HISTORY) as service:
        ends = service.make(number, process_s)
        call = "from benchmarks.wait_cell import wait_and_report; import sys; wait_and_report(*sys.argv[1:])"
        command = [sys.executable, "-c", call, way, service.url]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                input=json.dumps(ends),
                capture_output=True,
                text=True,
                timeout=process_s[1] + _PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            raise SystemExit(f"{way} with {number} transcripts failed:\n{done.stderr[-3000:]}")
        counts = service.counts()
    requests = counts.get(STATUS, 0) + counts.get(LIST, 0)
    return {**json.loads(done.stdout.splitlines()[-1]), "requests": requests, "requests_each": requests / number}


def wait_and_report(way: str, url: str) -> None:
    """Wait for the transcripts on the standard input, and print what it cost."""
    print(json.dumps(asyncio.run(_wait(getattr(peers, way), url, json.load(sys.stdin)))))


async def _wait(way: peers.Way, url: str, ends: dict[str, float]) -> dict[str, float]:
    began: dict[str, float] = {}
    woken: dict[str, float] = {}
    lags: list[float] = []
    async with way(url, ends) as wait:

        async def one(transcript_id: str) -> None:
            began[transcript_id] = time.time()
            await wait(transcript_id)
            woken[transcript_id] = time.time()

        before_s, at = _cpu_s(), time.time()
        monitor = asyncio.create_task(_watch_lag(lags))
        waits: list[asyncio.Task[None]] = []
        for batch in _batches(list(ends)):
            waits += [asyncio.create_task(one(each)) for each in batch]
            await asyncio.sleep(_START_STEP_S)
        await asyncio.gather(*waits)
        wall_s, used_s = time.time() - at, _cpu_s() - before_s
        monitor.cancel()
    minutes = sum(woken[each] - began[each] for each in ends) / 60
    late = _percentiles([woken[each] - max(ends[each], began[each]) for each in ends])
    return {
        "cpu_s": used_s,
        "cpu_percent": used_s / wall_s * 100,
        "cpu_ms_per_minute": used_s * 1000 / minutes,
        "memory_mb": peak_memory_mb(),
        "lag_p99_ms": _percentiles(lags)[98] * 1000,
        "lag_max_ms": max(lags) * 1000,
        "late_p50_s": late[49],
        "late_p95_s": late[94],
        "late_max_s": max(woken[each] - ends[each] for each in ends),
    }


def _batches(ids: list[str]) -> list[list[str]]:
    """Spread the starts over an interval: tasks are not deferred all in the same moment, and a triggerer takes some."""
    steps = round(peers.INTERVAL_S / _START_STEP_S)
    return [ids[step::steps] for step in range(steps)]


async def _watch_lag(lags: list[float]) -> None:
    """Note how late the event loop gets to what is due."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_STEP_S
        await asyncio.sleep(_LAG_STEP_S)
        lags.append(loop.time() - due)


def _percentiles(values: list[float]) -> list[float]:
    return quantiles(values, n=100, method="inclusive")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
