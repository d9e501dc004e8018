"""Fails a task that runs, by the very call with which Airflow 3.3.2's scheduler answers a late report of its executor.

``SchedulerJobRunner.process_executor_events`` calls ``TaskInstance.handle_failure`` when the executor says that a leg
of a task has ended while the task runs on in its next leg. This is that call alone, in a process of its own; the
arguments are DAG, run and task.
"""

from __future__ import annotations

import sys


def main(dag_id: str, run_id: str, task_id: str) -> None:
    from airflow.models.dagbag import DBDagBag
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        query = select(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id)
        ti = session.scalars(query).one()
        dag = DBDagBag().get_dag_for_run(dag_run=ti.dag_run, session=session)
        assert dag is not None
        ti.task = dag.get_task(task_id)
        ti.handle_failure(error="Executor reported that the task instance finished", session=session)


if __name__ == "__main__":
    main(*sys.argv[1:])
