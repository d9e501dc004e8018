"""Shows what Airflow's task state store does for a try that is over, and for a new run of the same day."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import CronPartitionTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

KEY = "word"


def _store() -> Any:
    return get_current_context()["task_state_store"]


def _tried(call: Any) -> dict[str, Any]:
    """Return what a call gives or raises."""
    try:
        return {"gave": call(), "raised": None}
    except Exception as error:
        return {"gave": None, "raised": f"{type(error).__name__}: {error}"}


def _tell(path: Path, what: dict[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(what))
    new.replace(path)


@dag(schedule=None, params={"folder": Param(type="string")})
def fencing() -> None:
    @task(retries=2, retry_delay=timedelta(seconds=2))
    def outlive() -> None:
        """The first try waits until a test wakes it; by then there is a second one."""
        context = get_current_context()
        folder, number = Path(context["params"]["folder"]), context["ti"].try_number
        if number > 1:
            _tell(folder / "second.json", {"found": _store().get(KEY)})
            _store().set(KEY, "of the second try")
            return
        _store().set(KEY, "of the first try")
        _tell(folder / "first.json", {"pid": os.getpid(), "supervisor": os.getppid()})
        while not (folder / "go").exists():
            time.sleep(0.05)
        _tell(
            folder / "zombie.json",
            {
                "get": _tried(lambda: _store().get(KEY, "the default")),
                "set": _tried(lambda: _store().set(KEY, "of the zombie")),
                "get after set": _tried(lambda: _store().get(KEY, "the default")),
            },
        )

    outlive()


@dag(
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", key_format="%Y-%m-%d"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    is_paused_upon_creation=True,
)
def fencing_days() -> None:
    @task
    def remember() -> Any:
        """Return what an earlier run of the day left in the store, and fail in the first one."""
        context = get_current_context()
        found = _store().get(KEY, "nothing")
        _store().set(KEY, str(context["run_id"]))
        first = Path(os.environ["ASR_TEST_HOLDS"]) / f"fencing {context['partition_key']}"
        if not first.exists():
            first.touch()
            raise AirflowFailException("The first run of a day is to fail.")
        return found

    remember()


fencing()
fencing_days()
