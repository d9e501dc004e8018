"""What the demo and these tests start, they end: all of it, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import Process, ProcessError, clean_environment, end_sessions, save, saved
from tests.e2e.world import wait_until

# A parent and a child in a process group of its own, as Airflow's task runner is; neither minds SIGTERM.
STUBBORN = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setpgid(0, 0)
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[Process]:
    """A running pair of stubborn processes."""
    process = _python("stubborn", STUBBORN, tmp_path)
    process.start()
    wait_until(lambda: process.log.read_text().count("ready") == 2, "both are ready")
    yield process
    process.kill()


def test_stopping_ends_children_too_even_stubborn_ones(stubborn: Process) -> None:
    assert len(_members(stubborn)) == 2
    stubborn.stop(within_s=0.3)
    assert _members(stubborn) == []
    assert stubborn.exit_code == -signal.SIGKILL
    stubborn.stop()


def test_children_are_found_when_their_parent_is_gone(stubborn: Process) -> None:
    assert stubborn.identity is not None
    os.kill(stubborn.identity.pid, signal.SIGKILL)
    wait_until(lambda: stubborn.exit_code is not None, "the parent is gone")
    assert len(_members(stubborn)) == 1
    stubborn.stop(within_s=0.3)
    assert _members(stubborn) == []


def test_another_program_can_end_what_was_let_go(stubborn: Process, tmp_path: Path) -> None:
    stubborn.let_go()
    save(tmp_path / "record", [stubborn])
    end_sessions(saved(tmp_path / "record").values(), within_s=0.3)
    assert _members(stubborn) == []


def test_a_stranger_with_the_same_pid_is_left_alone(stubborn: Process) -> None:
    assert stubborn.identity is not None
    for other in (
        dataclasses.replace(stubborn.identity, started=stubborn.identity.started - 1, cwd="/elsewhere"),
        dataclasses.replace(stubborn.identity, boot="an earlier one"),
    ):
        end_sessions([other], within_s=0.3)
    assert len(_members(stubborn)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_is_told_to_end_takes_all_with_it(tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
        import signal, time
        from pathlib import Path
        from demo.processes import end_on_signals
        from tests.e2e.test_processes import STUBBORN, _python
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # These tests may run where one of them is ignored, as by nohup.
        end_on_signals()
        process = _python("stubborn", STUBBORN, Path({str(tmp_path)!r}))
        process.start()
        print(process.identity.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        assert program.stdout is not None
        try:
            session = int(program.stdout.readline())
            wait_until(lambda: (tmp_path / "stubborn.log").read_text().count("ready") == 2, "both are ready")
            program.send_signal(number)
            program.wait(20)
        finally:
            program.kill()
    assert [pid for pid in _all_pids() if _session(pid) == session] == []


def test_an_unexpected_end_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    process = _python("doomed", "print('Something is missing.'); raise SystemExit(3)", tmp_path)
    process.start()
    with pytest.raises(ProcessError, match=r"(?s)doomed ended with exit code 3.*Something is missing\."):
        process.wait(20)


def test_little_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW_HOME", "PYTHONPATH", "HTTP_PROXY", "AWS_PROFILE"):
        monkeypatch.setenv(name, "theirs")
    environment = clean_environment(AIRFLOW_HOME="ours")
    assert environment["AIRFLOW_HOME"] == "ours"
    assert "theirs" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


def _python(name: str, code: str, folder: Path) -> Process:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return Process(name, command, log=folder / f"{name}.log", env=clean_environment(), cwd=folder)


def _members(process: Process) -> list[int]:
    assert process.identity is not None
    return process.identity.members()


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _session(pid: int) -> int:
    """Return the session of a process that is alive, else 0."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[3])
