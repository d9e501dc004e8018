"""An Airflow with one triggerer that can hold very many triggers, and the service that they wait for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from airflow_asr.api.client import AssemblyAIClient
from demo.airflow_api import AirflowApi
from demo.service import API_KEY
from demo.stack import AirflowStack
from tests.e2e.postgres import PostgresServer
from tests.e2e.world import EchoService
from tests.faults.meter import RequestMeter
from tests.faults.trouble import bad_replies

DAG_ID, TASK_ID = "loaded", "wait"


class BusyAirflow:
    """An Airflow, its database, and the service that its triggers wait for."""

    def __init__(self, airflow: AirflowStack, database: PostgresServer, service: EchoService) -> None:
        self.airflow = airflow
        self.service = service
        self.triggerer = next(process for process in airflow.processes if process.name == "triggerer")
        self._dsn = database.url.replace("+psycopg2", "")

    @property
    def api(self) -> AirflowApi:
        return self.airflow.api

    def client(self) -> AssemblyAIClient:
        return AssemblyAIClient(API_KEY, base_url=self.service.url)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self._dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def waiting(self) -> int:
        [(count,)] = self.query(
            "SELECT count(*) FROM task_instance WHERE starts_with(run_id, 'load__') AND state = 'deferred'"
        )
        return int(count)

    def status_requests(self) -> int:
        return sum(self.service.requests("GET", route) for route in ("/v2/transcript/{id}", "/v2/transcript"))

    def die_and_come_back(self, meter: RequestMeter) -> None:
        meter.ends()
        self.service.kill()
        time.sleep(2)
        self.service.start()
        self.service.trouble(bad_replies())


@contextmanager
def busy_airflow(
    home: Path, number: int, dag_file: str = "loaded.py", *, concurrency: int | None = None
) -> Iterator[BusyAirflow]:
    """Start what so many triggers need, in a directory of its own, and stop it all at the end."""
    dags = home / "dags"
    dags.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "dags" / dag_file, dags)
    env = {
        "AIRFLOW__TRIGGERER__CAPACITY": str(number + 100),
        "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": str(number + 100),
    }
    with EchoService(home / "busy", concurrency=concurrency or number + 50) as service, PostgresServer() as database:
        connections = {"busy": service.connection}
        with AirflowStack(
            home / "airflow", dags, database_url=database.url, connections=connections, env=env
        ) as airflow:
            yield BusyAirflow(airflow, database, service)
