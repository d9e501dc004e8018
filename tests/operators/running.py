"""Runs an operator as Airflow does: try by try, and leg by leg where it defers, on a state that survives the tries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pendulum
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import TaskDeferred

from airflow_asr.api.client import AssemblyAIClient


class TaskState:
    """What the operators use of Airflow's task state store."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.retentions: list[Any] = []

    def get(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.kept[key] = json.loads(json.dumps(value, allow_nan=False))
        self.retentions.append(retention)


class OutletEvents(dict[Any, Any]):
    """What Airflow gives for the events of a task's outlets."""

    def __missing__(self, asset: Any) -> Any:
        self[asset] = SimpleNamespace(extra={})
        return self[asset]


@dataclass
class TaskInstance:
    """One task instance over all its tries.

    Attributes:
        client: waits for what the task deferred to.
        partition_key: that of the run.
        before_leg: called before each leg after the first; a test does harm there.
    """

    client: AssemblyAIClient
    partition_key: str | None = None
    before_leg: Callable[[], None] = lambda: None
    state: TaskState = field(default_factory=TaskState)
    outlet_events: OutletEvents = field(default_factory=OutletEvents)
    deferrals: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0
    max_tries: int = 2
    run_id: str = "manual"

    def run(self, operator: BaseOperator) -> Any:
        """Run the next try to its end."""
        self.tries += 1
        context = self.context()
        try:
            return operator.execute(context)
        except TaskDeferred as deferred:
            return self._resume(operator, context, deferred)

    def defer(self, operator: BaseOperator) -> TaskDeferred:
        """Run the next try until it defers, and leave it there."""
        self.tries += 1
        try:
            operator.execute(self.context())
        except TaskDeferred as deferred:
            return deferred
        raise AssertionError("It did not defer.")

    def context(self) -> Context:
        """Return what Airflow gives to this try."""
        ti = SimpleNamespace(
            **self.identity, try_number=self.tries, max_tries=self.max_tries, start_date=pendulum.now("UTC")
        )
        context = {"task_state_store": self.state, "ti": ti, "outlet_events": self.outlet_events}
        return cast(Context, {**context, "partition_key": self.partition_key})

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from other task instances."""
        return {"dag_id": "calls", "run_id": self.run_id, "task_id": "transcribe", "map_index": -1}

    def clear(self) -> None:
        """Do what somebody does who clears the task: Airflow grants as many retries again."""
        self.max_tries = self.tries + 2

    def _resume(self, operator: BaseOperator, context: Context, deferred: TaskDeferred) -> Any:
        while True:
            _, arguments = deferred.trigger.serialize()
            self.deferrals.append(arguments)
            event = self._event(arguments)
            self.before_leg()
            try:
                return getattr(operator, deferred.method_name)(context, event, **(deferred.kwargs or {}))
            except TaskDeferred as again:
                deferred = again

    def _event(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Wait as the trigger would."""
        if "transcript_ids" in arguments:
            ids = arguments["transcript_ids"]
            while True:
                ended = [each for each in ids if self.client.get(each).ended]
                if (ids and len(ended) >= arguments["refill_at"]) or time.time() >= arguments["wake_at"]:
                    return {"ended": ended, "remaining": len(ids) - len(ended)}
                time.sleep(0.05)
        transcript_id = arguments["transcript_id"]
        while not (transcript := self.client.get(transcript_id)).ended:
            time.sleep(0.05)
        return {"transcript_id": transcript_id, "status": transcript.status}
