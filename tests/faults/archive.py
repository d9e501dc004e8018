"""A batch of a thousand recordings, killed ten times at random, with bad recordings and a service that is unwell.

Run it as ``python -m tests.faults.archive [RECORDINGS] [KILLS] [SEED]``. What was made is counted at the service: each
good recording is to be there once, whatever died; each bad one is to be in the manifest with whose fault that is.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_asr.local.testing import scripted_audio
from demo.processes import end_on_signals
from tests.faults.busy import BusyAirflow, busy_airflow

DAG_ID, TASK_ID = "archiving", "transcribe"
BAD_SHARE = 0.05
FIRST_KILL_S, LAST_KILL_S = 0.2, 6.0
PATIENCE_S = 3600.0

# One reply of five is of no use: some of them to requests that had their effect.
BAD_REPLIES: tuple[Mapping[str, Any], ...] = (
    {"action": "answer", "status": 429, "headers": {"Retry-After": "1"}, "share": 0.05},
    {"action": "answer", "status": 503, "share": 0.05},
    {"action": "drop", "when": "after", "share": 0.05},
    {"action": "answer", "status": 502, "when": "after", "body": "<html>Bad Gateway</html>", "share": 0.05},
)


@dataclass(frozen=True)
class Outcome:
    """What became of a batch.

    Attributes:
        recordings: how many there were, and how many of them are bad.
        kills: how often its worker was killed.
        tries: how often Airflow tried it.
        jobs: transcripts at the service that did not end in error.
        duplicates: good recordings that were transcribed more than once, at each time more.
        lost: good recordings without whole outputs, and bad ones without their kind in the manifest.
        seconds: from start to end.
        state: of the run.
    """

    recordings: int
    bad: int
    kills: int
    tries: int
    jobs: int
    duplicates: int
    lost: int
    seconds: float
    state: str


def run(home: Path, recordings: int = 1000, kills: int = 10, seed: int | None = None) -> Outcome:
    """Bring it about, in a directory of its own."""
    seed = random.randrange(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    draw = random.Random(seed)
    with busy_airflow(home, 100, "archiving.py", concurrency=200) as scene:
        bad = _write(home / "audio", recordings, draw)
        pids = home / "pids"
        pids.mkdir()
        scene.service.trouble({**fault, "route": "*", "times": None} for fault in _shares())
        began = time.monotonic()
        scene.api.wait_for_dag(DAG_ID)
        params = {"audio": str(home / "audio"), "text": str(home / "text"), "pids": str(pids)}
        run_id = scene.api.trigger(DAG_ID, params)
        killed = _kill(scene, run_id, pids, kills, draw)
        state = scene.api.wait_for_run(DAG_ID, run_id, PATIENCE_S)
        seconds = time.monotonic() - began
        scene.service.trouble(())
        made = _made(scene)
        good = set(range(recordings)) - bad.keys()
        return Outcome(
            recordings=recordings,
            bad=len(bad),
            kills=killed,
            tries=scene.api.task_instance(DAG_ID, run_id, TASK_ID).try_number,
            jobs=sum(made.values()),
            duplicates=sum(count - 1 for count in made.values()),
            lost=_lost(home / "text", good, bad),
            seconds=seconds,
            state=state,
        )


def _shares() -> Iterator[dict[str, Any]]:
    left = 1.0
    for fault in BAD_REPLIES:
        # A fault is asked whether it hits only if none before it did.
        yield {**fault, "share": fault["share"] / left}
        left -= fault["share"]


def _write(folder: Path, recordings: int, draw: random.Random) -> dict[int, str]:
    """Write the recordings; return the bad ones, each with the kind of its failure."""
    folder.mkdir()
    bad = draw.sample(range(recordings), int(recordings * BAD_SHARE))
    for number in range(recordings):
        script = {"process_s": draw.uniform(1, 8)}
        data = scripted_audio(f"This is recording {number}.", **script)
        if number in bad:
            silent = scripted_audio(f"{number}", error="File does not appear to contain audio", **script)
            data = b"" if number % 2 else silent
        (folder / f"{number:05}.wav").write_bytes(data)
    return dict.fromkeys(bad, "input")


def _kill(scene: BusyAirflow, run_id: str, pids: Path, kills: int, draw: random.Random) -> int:
    """Kill the worker so many times, a random while after it has begun or gone on."""
    known: set[str] = set()
    killed = 0
    deadline = time.monotonic() + PATIENCE_S
    while killed < kills and time.monotonic() < deadline:
        new = {path.name for path in pids.iterdir()} - known
        known |= new
        if not new:
            if scene.api.run_state(DAG_ID, run_id) not in ("queued", "running"):
                break
            time.sleep(0.05)
            continue
        time.sleep(draw.uniform(FIRST_KILL_S, LAST_KILL_S))
        for pid in map(int, new):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # It had deferred by then.
            killed += 1
            print(f"killed {killed} of {kills}", flush=True)
    return killed


def _made(scene: BusyAirflow) -> Counter[str]:
    """Return how many transcripts there are of each recording that heard something."""
    with scene.client() as client:
        texts = [client.get(row.id).text for row in client.walk() if row.status != "error"]
    return Counter(map(str, texts))


def _lost(text: Path, good: set[int], bad: Mapping[int, str]) -> int:
    manifest = text / f"manifest.{DAG_ID}.{TASK_ID}.jsonl"
    rows = {row["key"]: row for row in map(json.loads, manifest.read_text().splitlines())}
    lost: int = 0
    for number in good:
        row = rows.get(f"{number:05}.wav")
        whole = row and row["status"] == "completed" and _text(row) == f"This is recording {number}.\n"
        lost += not whole
    wrong = [number for number, kind in bad.items() if rows.get(f"{number:05}.wav", {}).get("kind") != kind]
    return lost + len(wrong)


def _text(row: Mapping[str, Any]) -> str:
    path = Path(row["outputs"]["txt"].removeprefix("file://"))
    return path.read_text() if path.exists() and path.stat().st_size == row["sizes"]["txt"] else ""


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="archive-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def show(outcome: Outcome) -> None:
    """Print a small table."""
    print(f"a batch of {outcome.recordings} recordings, one reply of five bad:")
    for name, value in vars(outcome).items():
        print(f"  {name:12} {value:.0f}" if isinstance(value, float) else f"  {name:12} {value}")


def main(arguments: list[str]) -> int:
    end_on_signals()
    logging.disable(logging.WARNING)
    numbers = [int(each) for each in arguments]
    with _folder() as folder:
        outcome = run(folder, *numbers)
    show(outcome)
    return int(bool(outcome.duplicates or outcome.lost or outcome.state != "success"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
