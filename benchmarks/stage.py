"""A real Airflow on PostgreSQL to measure in, and the stand-in that its tasks talk to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.report import ROOT
from benchmarks.stand_in import StandIn
from demo.airflow_api import AirflowApi
from demo.processes import Process
from demo.stack import AirflowStack
from tests.e2e.postgres import PostgresServer

CONNECTION = "service"


@dataclass(frozen=True)
class Stage:
    """An Airflow with the DAGs of ``benchmarks/dags``, its database and the service behind the Connection."""

    airflow: AirflowStack
    database: PostgresServer
    service: StandIn

    @property
    def api(self) -> AirflowApi:
        return self.airflow.api

    def process(self, component: str) -> Process:
        """Return one of Airflow's four processes."""
        return next(process for process in self.airflow.processes if process.name == component)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement in Airflow's database, and return the rows if it gives any."""
        url = self.database.url.replace("+psycopg2", "")
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def stage(home: Path, service: StandIn, env: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """Start an Airflow in a directory, with more settings, and stop it at the end."""
    dags = home / "dags"
    shutil.copytree(Path(__file__).parent / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    settings = {"PYTHONPATH": str(ROOT), **(env or {})}  # The DAGs and the triggerer import from here.
    with (
        PostgresServer() as database,
        AirflowStack(
            home / "airflow",
            dags,
            database_url=database.url,
            connections={CONNECTION: service.connection},
            env=settings,
        ) as airflow,
    ):
        yield Stage(airflow, database, service)
