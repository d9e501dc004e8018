"""Measures what a batch costs over what the service takes: time, CPU, requests and memory.

A real Airflow on PostgreSQL transcribes archives by one task, and others by a mapped task for each recording, which
defers, or by two, of which one is a sensor that is rescheduled. The service is a stand-in that is done when the clock
says so. Run it as ``python -m benchmarks.batch``.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from upath import UPath

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.results import summarise
from benchmarks.report import judge, print_table, save
from benchmarks.stage import Stage, stage
from benchmarks.stand_in import API_KEY, LIST, STATUS, SUBMIT, UPLOAD, StandIn
from demo.processes import end_on_signals

PROCESS_S = (10.0, 20.0)
SMALL_RESULT, LARGE_RESULT = 2_000, 1_000_000  # Bytes; an hour of speech is about a megabyte.
MAPPED, RESCHEDULED = 200, 50
_ONCE_FROM = 1_001  # Files: five rounds of so many would take a quarter of an hour more.

MOST_OVERHEAD_S = 8.0
MOST_CPU_MS = 15.0
MOST_REQUESTS = 2.2
LEAST_RATIO = 50.0
MOST_MEMORY_MB = 300.0

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
COMPONENTS = ("scheduler", "api-server", "triggerer", "dag-processor")
# The quietest counts: in another, a process of the last run may have ended, whose CPU its parent then takes over.
_IDLE_WINDOWS = 3


@dataclass(frozen=True)
class Cost:
    """What a run cost.

    Attributes:
        how: ``batched``, ``mapped`` or ``rescheduled``.
        files: recordings.
        result_bytes: the size of each transcript.
        wall_s: from the run's start to its end.
        overhead_s: from the service's last completion to the run's end.
        cpu_s: CPU seconds of Airflow's processes, without what they use when nothing is to be done.
        requests: requests for each recording, without its upload.
        memory_mb: the most memory that a process of the run had.
    """

    how: str
    files: int
    result_bytes: int
    wall_s: float
    overhead_s: float
    cpu_s: float
    requests: float
    memory_mb: float

    @property
    def cpu_ms(self) -> float:
        """CPU for each recording, in milliseconds."""
        return 1000 * self.cpu_s / self.files


def main() -> int:
    arguments = _arguments()
    end_on_signals()
    logging.disable(logging.WARNING)
    costs: list[Cost] = []
    floors: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        for size in (SMALL_RESULT, LARGE_RESULT):
            with StandIn(PROCESS_S, result_bytes=size) as service, stage(home / f"{size}", service) as scene:
                floors[size] = _floor_ms(service, home / f"floor-{size}")
                _measure(scene, "batched", 5, size, home)  # The first run starts what the others find running.
                for how, files in _cells(arguments, size):
                    costs.append(_measure(scene, how, files, size, home))
                    print(f"{how} {files}: {costs[-1].overhead_s:.1f} s over the service", flush=True)
    return _report(costs, floors)


def _cells(arguments: argparse.Namespace, size: int) -> Iterator[tuple[str, int]]:
    if size == LARGE_RESULT:
        yield "batched", arguments.large
        return
    for _ in range(arguments.rounds):
        yield from (("batched", files) for files in arguments.sizes if files < _ONCE_FROM)
        yield "mapped", arguments.mapped
    yield from (("batched", files) for files in arguments.sizes if files >= _ONCE_FROM)
    yield "rescheduled", arguments.rescheduled


def _measure(scene: Stage, how: str, files: int, size: int, home: Path) -> Cost:
    audio, output = home / f"audio-{files}", home / f"text-{how}-{files}-{size}-{time.monotonic_ns()}"
    audio.mkdir(exist_ok=True)
    for number in range(files):
        (audio / f"{number:05}.wav").write_bytes(b"RIFF" + number.to_bytes(4, "big") + bytes(2000))
    scene.api.wait_for_dag(how)
    idle = min(_idle_cpu_s(scene) for _ in range(_IDLE_WINDOWS))
    counts, before = scene.service.counts(), set(scene.service.ends())
    with _watched_memory(scene) as memory:
        cpu_s, began = _cpu_s(scene), time.monotonic()
        run_id = scene.api.trigger(how, {"audio": str(audio), "output": str(output)})
        if (state := scene.api.wait_for_run(how, run_id, 3600)) != "success":
            raise SystemExit(f"The run of {how} is {state}.")
        wall_s = time.monotonic() - began
        used_s = _cpu_s(scene) - cpu_s - idle * wall_s
    ((end,),) = scene.query("SELECT end_date FROM dag_run WHERE dag_id = %s AND run_id = %s", how, run_id)
    last = max(moment for id_, moment in scene.service.ends().items() if id_ not in before)
    now = scene.service.counts()
    asked = sum(now.get(route, 0) - counts.get(route, 0) for route in (SUBMIT, STATUS, LIST))
    uploads = now.get(UPLOAD, 0) - counts.get(UPLOAD, 0)
    if uploads != files:
        raise SystemExit(f"{uploads} uploads of {files} recordings: {how} did something else than it is measured for.")
    return Cost(
        how=how,
        files=files,
        result_bytes=size,
        wall_s=round(wall_s, 1),
        overhead_s=round(end.timestamp() - last, 2),
        cpu_s=round(used_s, 2),
        requests=round(asked / files, 3),
        memory_mb=round(memory["most"], 1),
    )


def _floor_ms(service: StandIn, folder: Path, files: int = 200) -> float:
    """Return the CPU that fetching and writing one result takes by itself, in milliseconds."""
    ids = list(service.make(files, (0.0, 0.0)))
    place: UPath = UPath(folder)
    with AssemblyAIClient(API_KEY, base_url=service.url) as client:
        before = resource.getrusage(resource.RUSAGE_SELF)
        for transcript_id in ids:
            transcript = client.get(transcript_id)
            outputs = Outputs(place, transcript_id, ("json", "txt"))
            outputs.write(client, transcript, summarise(transcript, outputs=outputs.uris()), fp=transcript_id)
        after = resource.getrusage(resource.RUSAGE_SELF)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / files


def _cpu_s(scene: Stage) -> float:
    """Return the CPU seconds of Airflow's processes, and of their children that have ended."""
    ticks = 0
    for pid in _members(scene):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # Its parent counts it now.
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS_PER_S


def _idle_cpu_s(scene: Stage, seconds: float = 5.0) -> float:
    """Return the CPU seconds that Airflow uses in a second when nothing is to be done."""
    before = _cpu_s(scene)
    time.sleep(seconds)
    return (_cpu_s(scene) - before) / seconds


def _members(scene: Stage) -> list[int]:
    found: list[int] = []
    for component in COMPONENTS:
        identity = scene.process(component).identity
        found += identity.members() if identity is not None else []
    return found


@contextmanager
def _watched_memory(scene: Stage) -> Iterator[dict[str, float]]:
    """Watch the processes that are not there yet: those that do the work. Gives the most memory that one had, in MB."""
    known, most, over = set(_members(scene)), {"most": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(0.2):  # The last moments count: the manifest as Parquet takes 60 MB for pyarrow.
            for pid in set(_members(scene)) - known:
                most["most"] = max(most["most"], _peak_mb(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)


def _report(costs: list[Cost], floors: Mapping[int, float]) -> int:
    print_table(
        ["run", "files", "kB each", "s", "s over the service", "CPU s", "CPU ms a file", "requests a file", "MB"],
        [
            [
                each.how,
                each.files,
                each.result_bytes // 1000,
                each.wall_s,
                f"{each.overhead_s:.2f}",
                f"{each.cpu_s:.2f}",
                f"{each.cpu_ms:.1f}",
                f"{each.requests:.3f}",
                each.memory_mb,
            ]
            for each in costs
        ],
    )
    print(
        "CPU of fetching and writing a result alone: "
        + ", ".join(f"{floor:.1f} ms at {size // 1000} kB" for size, floor in floors.items())
    )
    thousand = [each for each in costs if each.how == "batched" and each.files == 1000]
    large = [each.memory_mb for each in costs if each.result_bytes == LARGE_RESULT]
    mapped = [each for each in costs if each.how == "mapped"]
    ratios = [by_itself.cpu_ms / batched.cpu_ms for by_itself, batched in zip(mapped, thousand, strict=True)]
    save(
        "batch",
        {
            "process_s": PROCESS_S,
            "runs": [{**asdict(each), "cpu_ms": round(each.cpu_ms, 2)} for each in costs],
            "fetch_and_write_ms": {str(size): round(floor, 2) for size, floor in floors.items()},
            "mapped_over_batched": [round(ratio, 1) for ratio in ratios],
        },
    )
    passed = [
        judge("1,000 files: s over the service", [each.overhead_s for each in thousand], most=MOST_OVERHEAD_S),
        judge(
            "1,000 files: CPU ms a file beyond fetching and writing",
            [each.cpu_ms - floors[SMALL_RESULT] for each in thousand],
            most=MOST_CPU_MS,
        ),
        judge("1,000 files: requests a file", [each.requests for each in thousand], most=MOST_REQUESTS),
        judge("CPU a file, mapped over batched", ratios, least=LEAST_RATIO),
        judge("peak memory with 1 MB transcripts, MB", large, most=MOST_MEMORY_MB),
    ]
    return 0 if all(passed) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[50, 200, 1000, 5000], help="recordings of the batches")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each size up to 1,000, and mapped (default: 5)")
    parser.add_argument("--mapped", type=int, default=MAPPED, help="recordings of the mapped run (default: 200)")
    parser.add_argument("--rescheduled", type=int, default=RESCHEDULED, help="of the run with sensors (default: 50)")
    parser.add_argument("--large", type=int, default=5000, help="recordings of the batch with transcripts of 1 MB")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
