from __future__ import annotations

import pytest

from airflow_asr.api.errors import AssemblyAIError, ForbiddenError, RateLimitError, ReplyLostError, ServerError
from airflow_asr.jobs.pauses import FailureRow


def longest(_: float, high: float) -> float:
    return high


def pauses(*errors: AssemblyAIError) -> list[float]:
    row = FailureRow()
    return [row.grows(error, longest) for error in errors]


def test_failures_pause_the_account_only_as_a_row_that_is_no_chance() -> None:
    assert pauses(*[ServerError("500"), ReplyLostError("lost")] * 4) == [0, 0, 0, 0, 1, 2, 4, 8]


def test_each_refusal_pauses_the_account_and_a_row_of_them_longer_and_longer() -> None:
    assert pauses(*[RateLimitError("429")] * 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_other_failures_do_not_lengthen_the_pause_of_a_refusal() -> None:
    assert pauses(ServerError("500"), ReplyLostError("lost"), RateLimitError("429"))[-1] == 1


@pytest.mark.parametrize("error", [RateLimitError("429", retry_after=30), ServerError("503", retry_after=30)])
def test_a_pause_that_the_service_asks_for_is_kept_up_to_the_limits_own_window(error: AssemblyAIError) -> None:
    assert pauses(error) == [30]
    error.retry_after = 1e9
    assert pauses(error) == [300]


def test_an_answer_ends_the_row() -> None:
    row = FailureRow()
    for _ in range(7):
        row.grows(RateLimitError("429"), longest)
        row.grows(ServerError("500"), longest)
    row.ends()
    assert row.grows(ServerError("500"), longest) == 0
    assert row.grows(RateLimitError("429"), longest) == 1


def test_a_first_403_can_mean_the_request_limit_and_a_second_before_an_answer_cannot() -> None:
    throttled = ForbiddenError("403", perhaps_throttled=True)
    row = FailureRow()
    row.grows(ServerError("500"), longest)
    assert row.outlasts(throttled)
    assert row.grows(throttled, longest) == 1
    row.grows(ServerError("500"), longest)
    assert not row.outlasts(throttled)
    row.ends()
    assert row.outlasts(throttled)
    assert not row.outlasts(ForbiddenError("403"))
