"""Runs all tests: those that mostly wait beside those that mostly compute. Plain ``pytest`` runs one after the other.

What waits are real Airflow processes, whose schedulers and triggers look every so often. Arguments go to both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from demo.processes import end_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

APART = [f"tests/e2e/test_{name}.py" for name in ("archive", "captions", "secrets")]
# Two that take about as long as each other, each with Airflows of its own.
WAITING = (["tests/e2e", *(f"--ignore={file}" for file in APART)], ["tests/faults", *APART])
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: list[str]) -> int:
    """Return the worst exit code of all."""
    end_on_signals()
    with ExitStack() as stack:
        waiting = [stack.enter_context(_running([*group, *arguments])) for group in WAITING]
        others = [f"--ignore={group[0]}" for group in WAITING]
        codes = [subprocess.run([*PYTEST, "tests", *others, *arguments], check=False).returncode]
        for group, (process, log) in zip(WAITING, waiting, strict=True):
            print(f"\nThe tests of {' '.join(group)}, which began at the same time:", flush=True)
            _follow(log, process)
            codes.append(process.returncode)
    return max(codes)


@contextmanager
def _running(arguments: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run tests beside others; give their process, and where what they say is."""
    command = [*PYTEST, *arguments, "-p", "no:cacheprovider"]
    with (
        tempfile.NamedTemporaryFile("w+b", suffix=".log") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            yield process, log.name
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
