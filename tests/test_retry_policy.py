from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from airflow.sdk import DAG, ExceptionRetryPolicy, RetryAction, RetryRule, task
from airflow.sdk.api.datamodels._generated import DagRun, TaskInstanceState, TIRunContext
from airflow.sdk.execution_time import task_runner
from airflow.serialization.serialized_objects import DagSerialization
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api import errors
from airflow_asr.exceptions import AssemblyAIFailException, AssemblyAIWaitTimeout
from airflow_asr.retry_policy import AssemblyAIRetryPolicy

POLICY = AssemblyAIRetryPolicy(base_s=30, cap_s=600)


@pytest.mark.parametrize(
    "error",
    [
        errors.AuthenticationError("no"),
        errors.BalanceError("no"),
        errors.RequestError("no"),
        errors.InputError("no"),
        errors.NoSpeechError("no"),
        errors.PolicyError("no"),
        errors.ResubmitsError("no"),
    ],
)
def test_what_a_retry_cannot_mend_fails_at_once_and_says_whose_fault_it_is(error: errors.AssemblyAIError) -> None:
    decision = POLICY.evaluate(error, 1, 5)
    assert (decision.action, decision.reason) == (RetryAction.FAIL, f"{error.kind}: no")


@given(st.floats(0, 10_000), st.integers(1, 40))
def test_the_wait_that_the_service_asks_for_is_kept(asked_s: float, try_number: int) -> None:
    decision = POLICY.evaluate(errors.RateLimitError("slow down", retry_after=asked_s), try_number, 40)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    assert min(asked_s, 600) <= decision.retry_delay.total_seconds() + 1e-6 <= min(asked_s + 30, 600) + 1e-5


@given(
    st.sampled_from([errors.ServerError, errors.UnreachableError, errors.ReplyLostError, errors.JobSearchError]),
    st.integers(1, 2000),
)
def test_failures_of_the_service_are_given_more_and_more_time(kind: type[errors.AssemblyAIError], number: int) -> None:
    decision = POLICY.evaluate(kind("oops"), number, 2000)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    step_s = min(30 * 2.0 ** min(number - 1, 30), 600)
    assert step_s / 2 - 1e-5 <= decision.retry_delay.total_seconds() <= step_s + 1e-5


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        AssemblyAIWaitTimeout("not yet"),
        errors.OutputError("disk full"),
        errors.RecordError("store away"),
        errors.UnclassifiedError("who knows"),
        errors.AudioChangedError("changed"),
    ],
)
def test_anything_else_is_left_to_the_task(error: Exception) -> None:
    assert POLICY.evaluate(error, 1, 5).action is RetryAction.DEFAULT


def test_an_exception_that_was_raised_for_an_error_of_ours_counts_as_that() -> None:
    wrapped = RuntimeError("The step failed.")
    wrapped.__cause__ = errors.AuthenticationError("no")
    assert POLICY.evaluate(wrapped, 1, 5).action is RetryAction.FAIL


def test_rules_of_the_user_come_first() -> None:
    rule = RetryRule(
        exception="airflow_asr.api.errors.BalanceError", action=RetryAction.RETRY, retry_delay=timedelta(hours=1)
    )
    policy = AssemblyAIRetryPolicy([rule])
    assert policy.evaluate(errors.BalanceError("no"), 1, 5).retry_delay == timedelta(hours=1)
    assert policy.evaluate(errors.RequestError("no"), 1, 5).action is RetryAction.FAIL


@pytest.mark.parametrize("arguments", [{"base_s": 0}, {"base_s": -1}, {"base_s": 10, "cap_s": 5}])
def test_waits_that_cannot_be_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`base_s` is"):
        AssemblyAIRetryPolicy(**arguments)


def test_it_can_be_written_down_and_read_again() -> None:
    policy = AssemblyAIRetryPolicy([RetryRule(exception=ValueError, action=RetryAction.FAIL)], base_s=7, cap_s=70)
    assert isinstance(policy, ExceptionRetryPolicy)
    again = AssemblyAIRetryPolicy.deserialize(policy.serialize())
    assert again.serialize() == policy.serialize()
    assert again.evaluate(ValueError(), 1, 5).action is RetryAction.FAIL


def test_an_error_that_is_its_own_cause_is_left_to_the_task() -> None:
    """It used to hang the worker."""
    circle = ValueError("a")
    circle.__cause__ = circle
    assert POLICY.evaluate(circle, 1, 5).action is RetryAction.DEFAULT


def test_the_scheduler_learns_that_there_is_one() -> None:
    with DAG("transcribing", schedule=None, default_args={"retries": 2, "retry_policy": POLICY}) as dag:
        fails = task(task_id="fails")(_fail)
        fails(None)
        fails.override(task_id="mapped").expand(error=[None, None])
    copy = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert {each.task_id: each.has_retry_policy for each in copy.tasks} == {"fails": True, "mapped": True}


def _fail(error: Exception | None) -> None:
    if error is not None:
        raise error


class Supervisor:
    """What the process of a task reports to."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def send(self, msg: Any) -> None:
        self.told.append(msg)


def _run(error: Exception, supervisor: Supervisor) -> tuple[TaskInstanceState, Any]:
    """Run a ``@task`` as a worker does; return how it ended, and what the worker told."""
    with DAG("transcribing", schedule=None) as dag:
        task(task_id="fails", retries=3, retry_policy=AssemblyAIRetryPolicy(base_s=1.0))(_fail)(error)
    now = datetime.now(UTC)
    times = dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date"), now)
    rest: dict[str, Any] = {"end_date": None, "consumed_asset_events": [], "partition_key": None}
    run: Any = {"dag_id": "transcribing", "run_id": "r", "run_type": "manual", "state": "running", **times, **rest}
    ti = task_runner.RuntimeTaskInstance.model_construct(
        id=uuid.uuid4(),
        task=dag.get_task("fails"),
        task_id="fails",
        dag_id="transcribing",
        run_id="r",
        try_number=1,
        map_index=-1,
        max_tries=3,
        start_date=now,
    )
    ti._ti_context_from_server = TIRunContext(dag_run=DagRun(**run), max_tries=3, should_retry=True)
    state, _, _ = task_runner.run(ti, ti.get_template_context(), structlog.get_logger())
    return state, supervisor.told[-1]


@pytest.mark.parametrize(
    ("error", "state", "least_s", "most_s"),
    [
        (errors.InputError("no"), TaskInstanceState.FAILED, None, None),
        (errors.AuthenticationError("no"), TaskInstanceState.FAILED, None, None),
        (AssemblyAIFailException("no"), TaskInstanceState.FAILED, None, None),
        (errors.RateLimitError("slow down", retry_after=90.0), TaskInstanceState.UP_FOR_RETRY, 90.0, 91.0),
        (errors.ServerError("oops" * 1000), TaskInstanceState.UP_FOR_RETRY, 0.5, 1.0),
        (ValueError("a bug"), TaskInstanceState.UP_FOR_RETRY, None, None),
    ],
)
def test_a_worker_does_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: TaskInstanceState,
    least_s: float | None,
    most_s: float | None,
) -> None:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    became, told = _run(error, supervisor)
    assert became == told.state == state
    asked_s: Any = getattr(told, "retry_delay_seconds", None)
    if least_s is None or most_s is None:
        assert asked_s is None
    else:
        assert least_s <= asked_s <= most_s
        assert len(told.retry_reason) <= 500
