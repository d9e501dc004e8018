"""Everything that an end-to-end test touches: Airflow, the services and the audio; and a DAG run, as tests see it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from demo.airflow_api import FINISHED_TASK, AirflowApi, TaskInstance
from demo.service import API_KEY, LocalService
from demo.stack import AirflowStack
from tests.e2e import readme
from tests.e2e.postgres import PostgresServer
from tests.object_storage import ObjectStorage

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDINGS = ROOT / "demo" / "recordings"


@dataclass(frozen=True)
class Run:
    """One run of a DAG."""

    api: AirflowApi
    dag_id: str
    run_id: str
    scheduler_log: Path

    def finish(self, timeout_s: float = 180.0) -> str:
        """Wait until it has ended and return how."""
        return self.api.wait_for_run(self.dag_id, self.run_id, timeout_s)

    def wait_for(self, task_id: str, *states: str, timeout_s: float = 120.0) -> TaskInstance:
        """Wait until a task is in one of these states; by default, until it has ended."""
        return self.api.wait_for_task(self.dag_id, self.run_id, task_id, states or FINISHED_TASK, timeout_s=timeout_s)

    def tasks(self) -> list[TaskInstance]:
        """Return all its tasks."""
        return self.api.task_instances(self.dag_id, self.run_id)

    def states(self) -> dict[str, str | None]:
        """Return the state of each task that is not mapped."""
        return {task.task_id: task.state for task in self.tasks()}

    def task(self, task_id: str) -> TaskInstance:
        """Return one task."""
        return self.api.task_instance(self.dag_id, self.run_id, task_id)

    def tries(self, task_id: str) -> int:
        """Return how often a task was tried for a reason of its own.

        Airflow 3.3.2 can take a late report about an earlier leg of a task, which deferred or rescheduled itself, for
        a failure of the leg that runs (apache/airflow#67287); that costs a try which nothing here is to blame for.
        """
        blamed = f"reported that the task instance <TaskInstance: {self.dag_id}.{task_id} {self.run_id} "
        return self.task(task_id).try_number - self.scheduler_log.read_text(errors="replace").count(blamed)

    def result(self, task_id: str, map_index: int = -1) -> Any:
        """Return what a task handed over."""
        return self.api.xcom(self.dag_id, self.run_id, task_id, map_index)

    def error(self, task_id: str) -> str:
        """Return the message of the exception that ended a task's last try."""
        try_number = self.task(task_id).try_number
        return self.api.task_error(self.dag_id, self.run_id, task_id, try_number=try_number)

    def log(self, task_id: str) -> str:
        """Return the log of a task's last try."""
        try_number = self.task(task_id).try_number
        return self.api.task_log(self.dag_id, self.run_id, task_id, try_number=try_number)


class EchoService(LocalService):
    """The service without a recogniser: it hears what the audio says it should, and tells what it was asked."""

    def __init__(self, home: Path, concurrency: int = 20) -> None:
        super().__init__(home, engine="echo", options=("--enable-faults", "--concurrency", str(concurrency)))

    def requests(self, method: str, route: str) -> int:
        """Return how many requests of a kind there were since the start."""
        return int(self._get("/_requests")["requests"].get(f"{method} {route}", 0))

    def transcripts(self) -> list[dict[str, Any]]:
        """Return the rows of the newest transcripts."""
        rows: list[dict[str, Any]] = self._get("/v2/transcript", limit=200)["transcripts"]
        return rows

    def trouble(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Demand these faults in place of all earlier ones."""
        self._call("DELETE", "/_faults")
        for fault in faults:
            self._call("POST", "/_faults", json=fault)

    def _get(self, path: str, **params: Any) -> Any:
        return self._call("GET", path, params=params)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": API_KEY}
            return session.request(method, f"{self.url}{path}", headers=headers, timeout=10, **options).json()


@dataclass(frozen=True)
class World:
    """One Airflow with its services. Behind the Connection ``assemblyai_default`` is ``whisper``, behind ``echo`` and
    ``storage`` what is named so.
    """

    airflow: AirflowStack
    echo: EchoService
    whisper: LocalService
    storage: ObjectStorage
    audio: Path
    tables: str | None
    """The Connection of a database for what DAGs make; None where there is none and they make a file."""
    dump: Callable[[], str]
    """Returns all that is in Airflow's database, as text."""
    postgres: PostgresServer | None = None

    def start(self, dag_id: str, **params: Any) -> Run:
        """Start a run of a DAG."""
        self.airflow.api.wait_for_dag(dag_id)
        return Run(
            self.airflow.api, dag_id, self.airflow.api.trigger(dag_id, params), self.airflow.logs / "scheduler.log"
        )

    def script(self, name: str, **echo: Any) -> str:
        """Write audio that tells the echo service what to hear, and return its path."""
        path = self.audio / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"echo": echo}))
        return str(path)


@contextmanager
def world(
    database: str,
    home: Path,
    *,
    env: Mapping[str, str] | None = None,
    connections: Mapping[str, str] | None = None,
    dag_folders: Iterable[Path] = (),
) -> Iterator[World]:
    """Start everything on ``sqlite`` or ``postgres``, and stop it all at the end.

    Args:
        database: where Airflow's own data is.
        home: where everything is written.
        env: more settings of the Airflow processes.
        connections: more Connections, as JSON.
        dag_folders: more DAG files.
    """
    dags = home / "dags"
    shutil.copytree(Path(__file__).parent / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in dag_folders:
        shutil.copytree(folder, dags, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    # Not into a folder of their own: DAG files import what lies beside them from the folder that Airflow knows.
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    readme.write_dags(dags, home / "readme", RECORDINGS / "call-06-internet-outage.mp3")
    with ExitStack() as stack:
        url, dump, postgres = None, _sqlite_dump(home / "airflow" / "airflow.db"), None
        if database == "postgres":
            postgres = stack.enter_context(PostgresServer())
            url, dump = postgres.url, postgres.dump
        tables = {"tables": postgres.connection} if postgres else {}
        echo = stack.enter_context(EchoService(home / "echo"))
        whisper = stack.enter_context(LocalService(home / "whisper", engine="whisper"))
        storage = stack.enter_context(ObjectStorage())
        airflow = stack.enter_context(
            AirflowStack(
                home / "airflow",
                dags,
                database_url=url,
                connections={
                    **tables,
                    "assemblyai_default": whisper.connection,
                    "echo": echo.connection,
                    "storage": storage.connection(),
                    **(connections or {}),
                },
                # The README's DAG leaves the delay to this setting; see Run.tries for what can cost a try.
                env={
                    "AIRFLOW__CORE__PARALLELISM": "8",
                    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
                    **(env or {}),
                },
            )
        )
        yield World(airflow, echo, whisper, storage, home / "audio", "tables" if postgres else None, dump, postgres)


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {timeout_s:g} s in vain until {what}.")
        time.sleep(0.5)


def _sqlite_dump(database: Path) -> Callable[[], str]:
    def dump() -> str:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            return "\n".join(connection.iterdump())
        finally:
            connection.close()

    return dump
