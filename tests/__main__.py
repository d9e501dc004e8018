"""Runs all tests: those that mostly wait beside those that mostly compute. Plain ``pytest`` runs one after the other.

What waits are real Airflow processes, whose schedulers and triggers look every so often. Arguments go to both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from demo.processes import end_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITING = ("tests/e2e", "tests/faults")
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: list[str]) -> int:
    """Return the worse exit code of the two."""
    end_on_signals()
    with (
        tempfile.NamedTemporaryFile("w+b", suffix=".log") as log,
        _running([*PYTEST, *WAITING, "-p", "no:cacheprovider", *arguments], log) as waiting,
    ):
        others = [f"--ignore={folder}" for folder in WAITING]
        computed = subprocess.run([*PYTEST, "tests", *others, *arguments], check=False).returncode
        print(f"\nThe tests of {' and '.join(WAITING)}, which began at the same time:", flush=True)
        _follow(log.name, waiting)
    return max(computed, waiting.returncode)


@contextmanager
def _running(command: list[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # It stops what it started.


def _follow(path: str, process: subprocess.Popen[bytes]) -> None:
    with open(path, errors="replace") as lines:
        while True:
            ended = process.poll() is not None
            sys.stdout.write(lines.read())
            sys.stdout.flush()
            if ended:
                return
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
