"""A complete Airflow on this machine: its four processes, under control.

Nothing of the user's own Airflow takes part: the settings are ours alone, everything that is written lies in one
directory, and all ports are loopback ports.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from demo.airflow_api import AirflowApi
from demo.processes import Process, ProcessError, clean_environment, end_sessions, free_ports, save, saved, stop_all

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    # The slowest to get ready comes first. Log servers would listen on all interfaces, and only serve logs that the
    # api-server finds on the same disk.
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
# What the health check calls each, and its latest heartbeat.
_HEARTBEATS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}

_SETTINGS: Mapping[str, str] = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    # All idle workers are forked at the start.
    "AIRFLOW__CORE__PARALLELISM": "6",
    # The default asks the name server for this machine's own name, which can take seconds where there is none.
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__API__HOST": "127.0.0.1",
    "AIRFLOW__API__WORKERS": "1",
    # Short waits, so that a run of seconds takes seconds.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
}


class AirflowStack:
    """Airflow's scheduler, triggerer, dag-processor and api-server as processes of this machine.

    Use it as a context manager: what it started is stopped however the block ends.

    Args:
        home: AIRFLOW_HOME. Kept when it exists, so that earlier runs can be looked at.
        dags: the directory of the DAG files.
        database_url: a SQLAlchemy URL; by default SQLite in ``home``.
        connections: Connections as JSON, by id.
        env: more settings, which win over ours.
        api_port: of the UI and REST API; by default any free port.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        database_url: str | None = None,
        connections: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        api_port: int | None = None,
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs-processes"
        self.record = self.home / "processes.json"
        self.url = f"http://127.0.0.1:{api_port or free_ports(1)[0]}"
        self.api = AirflowApi(self.url, self.check)
        self._env = self._environment(dags.resolve(), database_url, connections or {}, env or {})
        self._migration = self._process("migration", "db", "migrate")
        self._components = {name: self._process(name, *command) for name, command in COMPONENTS.items()}
        self._orphaned: list[Process] = []
        self._since = datetime.now(UTC)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def processes(self) -> list[Process]:
        """The four processes."""
        return list(self._components.values())

    def start(self, timeout_s: float = 180.0) -> None:
        """Make the database ready, start the processes and wait until all are healthy.

        Raises:
            ProcessError: one ended, or was not healthy in time; with the end of its log.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        # A stack that was started here before and never stopped would share the database with this one.
        end_sessions(saved(self.record).values(), 10.0)
        try:
            self.migrate(timeout_s)
            self._since = datetime.now(UTC)
            for process in self.processes:
                process.start()
            save(self.record, self.processes)
            self.wait_until_healthy(timeout_s)
        except BaseException:
            self.stop()
            raise

    def migrate(self, timeout_s: float = 180.0) -> None:
        """Bring the database to Airflow's schema."""
        self._migration.start()
        self._migration.wait(timeout_s)

    def stop(self, within_s: float = 10.0) -> None:
        """Stop all that runs, by force after ``within_s`` seconds. Can be called again."""
        # The api-server waits for its clients, so be gone first.
        self.api.close()
        stop_all([self._migration, *self.processes, *self._orphaned], within_s)
        self.record.unlink(missing_ok=True)

    def kill(self, component: str) -> None:
        """End a component as a crash of its machine would: at once, with its children."""
        self._components[component].kill()

    def orphan(self, component: str) -> None:
        """End a component's own process, and let its children live, as a crash of the program alone does.

        Starting the component again leaves them alone. They end with the stack.
        """
        process = self._components[component]
        assert process.identity is not None, f"{component} was not started"
        self._orphaned.append(process)
        process.expect_end(at_exit=True)
        os.kill(process.identity.pid, signal.SIGKILL)
        process.reap()
        self._components[component] = self._process(component, *COMPONENTS[component])

    def restart(self, component: str, timeout_s: float = 90.0) -> None:
        """Start a component again, stopping it first if it runs, and wait until all are healthy."""
        process = self._components[component]
        process.stop()
        self._since = datetime.now(UTC)
        process.start()
        save(self.record, self.processes)
        self.wait_until_healthy(timeout_s)

    def run_script(self, script: Path, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run a Python program with Airflow's own settings, and return what it printed.

        Raises:
            ProcessError: it failed; with what it said.
        """
        return self._run(script.name, [str(script), *arguments], timeout_s)

    def command(self, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run ``airflow`` on the command line, and return what it printed. Errors as for :meth:`run_script`."""
        return self._run(f"airflow {' '.join(arguments)}", ["-m", "airflow", *arguments], timeout_s)

    def _run(self, name: str, arguments: list[str], timeout_s: float) -> str:
        command = [sys.executable, "-P", *arguments]
        done = subprocess.run(
            command, env=self._env, cwd=self.home, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode:
            raise ProcessError(f"{name} ended with exit code {done.returncode}.\n{done.stdout}\n{done.stderr[-2000:]}")
        return done.stdout

    def let_go(self) -> None:
        """Leave the processes running when this interpreter ends. :attr:`record` says which they are."""
        for process in self.processes:
            process.let_go()

    def check(self) -> None:
        """Raise if a process has ended that nobody stopped.

        Raises:
            ProcessError: one has; with the end of its log.
        """
        for process in self.processes:
            process.check()

    def wait_until_healthy(self, timeout_s: float = 180.0) -> None:
        """Wait until Airflow calls all its parts healthy, by a heartbeat since the last start.

        Raises:
            ProcessError: one ended, or was not healthy in time.
        """
        deadline = time.monotonic() + timeout_s
        while missing := self.missing():
            self.check()
            if time.monotonic() > deadline:
                tails = "\n".join(self._components[name].tail() for name in missing)
                raise ProcessError(f"Not healthy after {timeout_s:g} s: {', '.join(missing)}.\n{tails}")
            time.sleep(0.25)

    def missing(self) -> list[str]:
        """Return the components that are not healthy yet."""
        try:
            health = self.api.health()
        except requests.RequestException:
            return ["api-server"]
        if health["metadatabase"]["status"] != "healthy":
            return ["api-server"]
        return [name for name, part in _HEARTBEATS.items() if not self._beats(health[part] or {}, part)]

    def _beats(self, report: Mapping[str, Any], part: str) -> bool:
        beat: str | None = report.get(f"latest_{part}_heartbeat")
        # A heartbeat of the process before the restart would count as healthy for half a minute.
        return report.get("status") == "healthy" and beat is not None and datetime.fromisoformat(beat) >= self._since

    def _process(self, name: str, *command: str) -> Process:
        return Process(
            name,
            # -P: what lies in the working directory is not to be imported.
            [sys.executable, "-P", "-m", "airflow", *command],
            log=self.logs / f"{name}.log",
            env=self._env,
            cwd=self.home,
        )

    def _environment(
        self, dags: Path, database_url: str | None, connections: Mapping[str, str], env: Mapping[str, str]
    ) -> dict[str, str]:
        settings = {
            **_SETTINGS,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url or f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            **{f"AIRFLOW_CONN_{conn_id.upper()}": value for conn_id, value in connections.items()},
            **env,
        }
        environment = clean_environment(**settings)
        scripts = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([scripts, environment.get("PATH", os.defpath)])
        return environment


def remove(home: Path) -> None:
    """Remove the directory of a stack, ending first what still runs in it."""
    end_sessions(saved(home / "processes.json").values(), 10.0)
    shutil.rmtree(home, ignore_errors=True)
