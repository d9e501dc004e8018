"""Processes that we start, and that end when we say so.

Each process leads a session of its own. Airflow's children move to other process groups, but none leaves the session,
so the session's number names all that we started and nothing else: as long as one of them lives, the kernel gives that
number to no other process.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

# What a child may inherit. All else could steer it: AIRFLOW__*, PYTHONPATH, proxies between two loopback addresses.
_INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")


class ProcessError(Exception):
    """A process ended, or did not get ready; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Identity:
    """A process that can be told from a later one with the same pid, and the session that it leads."""

    pid: int
    started: int
    """Clock ticks from boot to the start of the process."""
    boot: str
    cwd: str

    @classmethod
    def of(cls, pid: int, cwd: Path) -> Identity:
        """Return the identity of a process that lives.

        Raises:
            ProcessLookupError: there is none.
        """
        return cls(pid, _stat(pid).started, _boot_id(), str(cwd.resolve()))

    @property
    def alive(self) -> bool:
        """Whether this very process lives."""
        return self._exists and _stat(self.pid).state not in "ZX"

    def members(self) -> list[int]:
        """Return the pids of the living members of its session."""
        if self.boot != _boot_id():
            return []
        pids = [pid for pid in _pids() if _belongs(pid, self.pid)]
        # With the leader gone, its number could have gone to a stranger in between: only ours work in our directory.
        return pids if self._exists else [pid for pid in pids if _works_in(pid, self.cwd)]

    @property
    def _exists(self) -> bool:
        try:
            return self.boot == _boot_id() and _stat(self.pid).started == self.started
        except ProcessLookupError:
            return False


class Process:
    """One program in a session of its own, writing to one log file.

    Args:
        name: what messages call it.
        command: the program and its arguments.
        log: where its output goes. It is appended to, so that a restart keeps what led to it.
        env: its whole environment.
        cwd: its working directory.
        user: run as this user (only root can).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.identity: Identity | None = None
        self._command = list(command)
        self._env = dict(env)
        self._cwd = cwd
        self._user = user
        self._child: subprocess.Popen[bytes] | None = None
        self._end_expected = False

    def start(self) -> None:
        """Start it. It is ended with this interpreter at the latest, unless :meth:`let_go` was called."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._end_expected = False
        atexit.register(self.stop, within_s=2.0)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                user=self._user,
                start_new_session=True,
            )
        self.identity = Identity.of(self._child.pid, self._cwd)

    @property
    def exit_code(self) -> int | None:
        """The exit code once it has ended, else None."""
        return self._child.poll() if self._child else None

    def check(self) -> None:
        """Raise if it has ended and nobody asked for that.

        Raises:
            ProcessError: it has; with the end of its log.
        """
        if self.exit_code is not None and not self._end_expected:
            raise ProcessError(f"{self.name} ended with exit code {self.exit_code}.\n{self.tail()}")

    def wait(self, timeout_s: float) -> None:
        """Wait until it has ended by itself, with success.

        Raises:
            ProcessError: it failed, or did not end in time.
        """
        assert self._child is not None, f"{self.name} was not started"
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ProcessError(f"{self.name} did not end within {timeout_s:g} s.\n{self.tail()}") from None
        if self._child.returncode:
            self.check()

    def stop(self, within_s: float = 10.0) -> None:
        """End it and all that it started: politely first, by force after ``within_s`` seconds. Can be called again."""
        stop_all([self], within_s)

    def kill(self) -> None:
        """End it and all that it started at once, as a crash of the machine would."""
        stop_all([self], 0.0)

    def reap(self, timeout_s: float = 5.0) -> None:
        """Take the exit code of a process that was ended. Its threads can outlive what /proc shows as its end."""
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout_s)

    def expect_end(self, *, at_exit: bool = False) -> None:
        """From now on, that it ends is nothing to complain about.

        Args:
            at_exit: what it leaves behind is still ended with this interpreter.
        """
        self._end_expected = True
        if not at_exit:
            atexit.unregister(self.stop)

    def let_go(self) -> None:
        """Leave it running when this interpreter ends."""
        self.expect_end()
        if self._child is not None:
            self._child.returncode = 0  # Popen warns of a child that nobody waited for.

    def tail(self, lines: int = 25) -> str:
        """Return the end of its log, with the log's path above it."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([f"The end of {self.log}:", *(f"    {line}" for line in text.splitlines()[-lines:])])


def stop_all(processes: Iterable[Process], within_s: float = 10.0) -> None:
    """End processes together, with all that they started. Those that have ended are left alone."""
    processes = list(processes)
    for process in processes:
        process.expect_end()
    end_sessions([p.identity for p in processes if p.identity], within_s, reap=processes)


def end_sessions(leaders: Iterable[Identity], within_s: float, reap: Sequence[Process] = ()) -> None:
    """End all members of the sessions that these processes lead: SIGTERM to each leader, after a while SIGKILL to all.

    Being interrupted in between, as by a second Ctrl-C, ends the politeness and not the work.

    Args:
        leaders: who leads the sessions.
        within_s: how long they may take to end by themselves; 0 asks nobody.
        reap: processes of this interpreter, whose exit codes are to be taken.
    """
    leaders = list(leaders)
    try:
        if within_s > 0:
            for leader in leaders:
                for pid in [leader.pid] if leader.alive else leader.members():
                    _signal(pid, signal.SIGTERM)
            _wait_until_gone(leaders, within_s, reap)
    finally:
        # A member can fork between the look and the signal, so look again until there is none.
        deadline = time.monotonic() + 5.0
        while (left := _all_members(leaders)) and time.monotonic() < deadline:
            for pid in left:
                _signal(pid, signal.SIGKILL)
            _wait_until_gone(leaders, 0.2, reap)
        for process in reap:
            process.reap()


def save(path: Path, processes: Iterable[Process]) -> None:
    """Write down which processes run, so that another program can end them."""
    identities = {process.name: asdict(process.identity) for process in processes if process.identity}
    path.write_text(json.dumps(identities, indent=2))


def saved(path: Path) -> dict[str, Identity]:
    """Return what :func:`save` wrote down, or nothing."""
    try:
        records = json.loads(path.read_text())
        return {name: Identity(**record) for name, record in records.items()}
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def clean_environment(**settings: str) -> dict[str, str]:
    """Return a small environment: what any program needs of ours, and these settings."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {"PYTHONUNBUFFERED": "1"} | settings


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_free(port: int) -> bool:
    """Whether a loopback port can be listened on now."""
    with socket.socket() as probe:
        # As servers do: connections that ended a minute ago do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind this program as Ctrl-C does, so that what it started is stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Whoever ignores one, as nohup does, means it.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    # A shell starts background jobs with SIGINT ignored; `kill -INT` is meant all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class _Stat:
    state: str
    session: int
    started: int


def _stat(pid: int) -> _Stat:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    # The second field is the program's name in brackets, and can hold anything; the rest is plain.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], session=int(fields[3]), started=int(fields[19]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _belongs(pid: int, session: int) -> bool:
    """Whether a process lives and is a member of a session."""
    try:
        stat = _stat(pid)
    except ProcessLookupError:
        return False
    return stat.session == session and stat.state not in "ZX"


def _works_in(pid: int, cwd: str) -> bool:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink()) == cwd
    except OSError:
        return False


def _all_members(leaders: Iterable[Identity]) -> list[int]:
    return [pid for leader in leaders for pid in leader.members()]


def _wait_until_gone(leaders: Sequence[Identity], within_s: float, reap: Sequence[Process]) -> None:
    deadline = time.monotonic() + within_s
    while _all_members(leaders) and time.monotonic() < deadline:
        for process in reap:
            _ = process.exit_code
        time.sleep(0.05)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
