"""Copies a deferred task instance, with its run, once for each transcript id in a file. Runs with Airflow's settings.

Mapped tasks would start at about four a second, and each would take a worker's time. The copies can be given another
trigger than the original's, which takes the same arguments.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from sqlalchemy import inspect, select, text


def main(dag_id: str, run_id: str, ids: list[str], classpath: str | None) -> None:
    with create_session() as session:
        instance = session.scalars(select(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id)).one()
        model = session.get(Trigger, instance.trigger_id)
        assert model is not None, "It is not deferred."
        path = classpath or model.classpath
        triggers = [Trigger(path, {**model.kwargs, "transcript_id": each}) for each in ids]
        session.add_all(triggers)
        session.flush()
        runs = _copy("dag_run", DagRun, {"id": None, "run_id": ":name", "conf": "CAST(:conf AS json)"})
        tasks = _copy(
            "task_instance", TaskInstance, {"id": "gen_random_uuid()", "run_id": ":name", "trigger_id": ":trigger"}
        )
        connection = json.loads(json.dumps(instance.dag_run.conf))["connection"]
        for number, (each, trigger) in enumerate(zip(ids, triggers, strict=True)):
            conf = json.dumps({"transcript_id": each, "connection": connection})
            values = {"name": f"load__{number:04}", "of": run_id, "dag": dag_id, "trigger": trigger.id, "conf": conf}
            session.execute(text(runs), values)
            session.execute(text(tasks), values)


def _copy(table: str, model: Any, changed: dict[str, str | None]) -> str:
    """Return the SQL that copies a row, with some columns changed, and those of ``None`` left to the database."""
    columns = [column.name for column in inspect(model).local_table.columns if changed.get(column.name, "") is not None]
    values = [changed.get(name) or f'"{name}"' for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {table} WHERE dag_id = :dag AND run_id = :of"


if __name__ == "__main__":
    dag, run, file, *other = sys.argv[1:]
    main(dag, run, json.loads(Path(file).read_text()), other[0] if other else None)
