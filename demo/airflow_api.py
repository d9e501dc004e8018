"""Airflow's REST API, as far as the demo and the tests use it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import requests

_T = TypeVar("_T")

FINISHED_RUN = frozenset({"success", "failed"})
FINISHED_TASK = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


# On SQLite, two requests of the api-server can wait for each other until one of them times out with a 500: an event
# loop that is blocked by a commit cannot finish the request that holds the lock.
_TRIES = 3


class AirflowApiError(Exception):
    """Airflow refused a request, or something that was waited for did not come."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class TaskInstance:
    """One task of one run, mapped or not."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    rendered_fields: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Return the task instance that a row of a reply describes."""
        return cls(
            dag_id=row["dag_id"],
            run_id=row["dag_run_id"],
            task_id=row["task_id"],
            map_index=row["map_index"],
            state=row["state"],
            try_number=row["try_number"],
            rendered_fields=row["rendered_fields"],
        )

    def __str__(self) -> str:
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.task_id}{index} is {self.state}, try {self.try_number}"


class AirflowApi:
    """A client of one api-server, with the rights of an administrator.

    Args:
        base_url: of the api-server, as ``http://127.0.0.1:8080``.
        check: called at each look while waiting. It raises when waiting has become pointless.
    """

    def __init__(self, base_url: str, check: Callable[[], None] = lambda: None) -> None:
        self.base_url = base_url
        self._check = check
        self._session = requests.Session()
        # Two loopback addresses need no proxy, and netrc has no key of ours.
        self._session.trust_env = False

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def health(self) -> dict[str, Any]:
        """Return the state of each component. Needs no token."""
        reply = self._session.get(f"{self.base_url}/api/v2/monitor/health", timeout=10)
        reply.raise_for_status()
        health: dict[str, Any] = reply.json()
        return health

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of ``GET /api/v2/<path>``."""
        return self.request("GET", path, params=params).json()

    def request(self, method: str, path: str, *, accept: Collection[int] = (), **kwargs: Any) -> requests.Response:
        """Make a request to ``/api/v2/<path>``.

        Args:
            method: the HTTP method.
            path: the path.
            accept: statuses of a refusal that is no error.
            **kwargs: as for ``requests``.

        Raises:
            AirflowApiError: it was refused; with Airflow's reason.
        """
        if "Authorization" not in self._session.headers:
            self._log_in()
        for _ in range(_TRIES):
            reply = self._session.request(method, f"{self.base_url}/api/v2/{path}", timeout=30, **kwargs)
            if reply.status_code != 500:
                break
        if not reply.ok and reply.status_code not in accept:
            raise AirflowApiError(f"{method} {path}: {reply.status_code} {reply.text[:500]}", reply.status_code)
        return reply

    def wait_for_dag(self, dag_id: str, timeout_s: float = 60.0) -> None:
        """Wait until the dag-processor has read a DAG.

        Raises:
            AirflowApiError: it did not; with what it says about files that it could not import.
        """

        def found() -> bool:
            return bool(self.get("dags", dag_id_pattern=dag_id, exclude_stale=True)["total_entries"])

        def why() -> str:
            errors = self.get("importErrors")["import_errors"]
            return "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors) or "no import errors"

        self._wait(found, bool, timeout_s, lambda _: f"There is no DAG {dag_id!r}: {why()}")

    def trigger(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, name: str = "manual", partition: str | None = None
    ) -> str:
        """Start a run, of a partition if one is named, and return its id, which begins with ``name``."""
        # With an id of our own, trying again cannot start a second run.
        run_id = f"{name}__{uuid.uuid4().hex[:12]}"
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": run_id, "partition_key": partition}
        try:
            self.request("POST", f"dags/{dag_id}/dagRuns", json=body)
        except AirflowApiError as error:
            if error.status != 409:
                raise
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout_s: float = 120.0) -> str:
        """Wait until a run has ended and return how.

        Raises:
            AirflowApiError: it did not end in time; with the states of its tasks.
        """
        return self._wait(
            lambda: self.run_state(dag_id, run_id),
            FINISHED_RUN.__contains__,
            timeout_s,
            lambda state: f"Run {run_id} of {dag_id} is {state} after {timeout_s:g} s: {self._states(dag_id, run_id)}",
        )

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the tasks of a run, mapped ones by index."""
        reply = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)
        return sorted(map(TaskInstance.of, reply["task_instances"]), key=lambda ti: (ti.task_id, ti.map_index))

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return one task of a run.

        Raises:
            AirflowApiError: the run has no such task.
        """
        for ti in self.task_instances(dag_id, run_id):
            if (ti.task_id, ti.map_index) == (task_id, map_index):
                return ti
        raise AirflowApiError(f"{dag_id} has no task {task_id!r} with index {map_index} in run {run_id}.")

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Iterable[str] = FINISHED_TASK,
        *,
        map_index: int = -1,
        timeout_s: float = 60.0,
    ) -> TaskInstance:
        """Wait until a task is in one of these states, and return it.

        Raises:
            AirflowApiError: it did not get there in time; with the states of all tasks of the run.
        """
        wanted = frozenset(states)
        return self._wait(
            lambda: self.task_instance(dag_id, run_id, task_id, map_index),
            lambda ti: ti.state in wanted,
            timeout_s,
            lambda ti: f"{dag_id}: {ti} after {timeout_s:g} s, not {wanted}: {self._states(dag_id, run_id)}",
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, key: str = "return_value") -> Any:
        """Return what a task handed over."""
        task = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        return self.get(f"{task}/xcomEntries/{key}", map_index=map_index, deserialize=True)["value"]

    def task_events(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1
    ) -> list[dict[str, Any]]:
        """Return the log of one try, as Airflow structures it."""
        task = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        content = self.get(f"{task}/logs/{try_number}", map_index=map_index, full_content=True)["content"]
        return [event if isinstance(event, dict) else {"event": str(event)} for event in content]

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return the log of one try, a line an event: its text first, then its fields as JSON."""
        return "\n".join(map(_line, self.task_events(dag_id, run_id, task_id, map_index, try_number)))

    def task_error(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return the message of the exception that ended a try, or nothing."""
        for event in self.task_events(dag_id, run_id, task_id, map_index, try_number):
            for error in event.get("error_detail") or []:
                return str(error["exc_value"])
        return ""

    def clear(self, dag_id: str, run_id: str, task_ids: Iterable[str]) -> None:
        """Clear tasks of a run, so that they run again."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False}
        self.request("POST", f"dags/{dag_id}/clearTaskInstances", json=body)

    def _log_in(self) -> None:
        reply = self._session.get(f"{self.base_url}/auth/token", timeout=30)
        reply.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"

    def _states(self, dag_id: str, run_id: str) -> str:
        return "; ".join(map(str, self.task_instances(dag_id, run_id)))

    def _wait(
        self, look: Callable[[], _T], done: Callable[[_T], bool], timeout_s: float, complain: Callable[[_T], str]
    ) -> _T:
        deadline = time.monotonic() + timeout_s
        while not done(seen := look()):
            self._check()
            if time.monotonic() > deadline:
                raise AirflowApiError(complain(seen))
            time.sleep(0.5)
        return seen


def _line(event: Mapping[str, Any]) -> str:
    fields = {name: value for name, value in event.items() if name not in ("event", "timestamp", "level", "logger")}
    return f"{event.get('event', '')} {json.dumps(fields, ensure_ascii=False) if fields else ''}".rstrip()
