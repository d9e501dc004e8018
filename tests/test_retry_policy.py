from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.api.datamodels._generated import TaskInstanceState
from airflow.sdk.execution_time.task_runner import _handle_current_task_failed
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api import errors
from airflow_asr.exceptions import AssemblyAIWaitTimeout
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


@pytest.mark.parametrize(
    ("error", "state", "delay_s"),
    [
        (errors.InputError("no"), TaskInstanceState.FAILED, None),
        (errors.RateLimitError("slow down", retry_after=90.0), TaskInstanceState.UP_FOR_RETRY, 90.0),
        (ValueError("a bug"), TaskInstanceState.UP_FOR_RETRY, None),
    ],
)
def test_airflow_does_what_it_says(error: Exception, state: TaskInstanceState, delay_s: float | None) -> None:
    server = SimpleNamespace(max_tries=3, should_retry=True)
    task = SimpleNamespace(retry_policy=AssemblyAIRetryPolicy(base_s=1.0))
    ti: Any = SimpleNamespace(
        task=task,
        try_number=1,
        _ti_context_from_server=server,
        _failure_metrics_emitted=True,
        rendered_map_index=None,
    )
    message, became = _handle_current_task_failed(ti, error, structlog.get_logger())
    assert became == state
    asked_s: Any = getattr(message, "retry_delay_seconds", None)
    if delay_s is None:
        assert asked_s is None
    else:
        assert delay_s <= asked_s <= delay_s + 1
