from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_asr.api.errors import (
    AssemblyAIError,
    AuthenticationError,
    ForbiddenError,
    InputError,
    InvalidReplyError,
    RateLimitError,
    ReplyLostError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    UnclassifiedError,
    UnreachableError,
    UploadRefusedError,
)
from airflow_asr.api.retry import NO_RETRY, RetryPolicy, retry_after_s

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

RETRYABLE = [RateLimitError, ServerError, UnreachableError, ReplyLostError, InvalidReplyError, UnclassifiedError]
FINAL = [AuthenticationError, RequestError, InputError, SubmitOutcomeUnknownError]

policies = st.builds(
    RetryPolicy,
    tries=st.integers(1, 20),
    base_s=st.floats(0, 100),
    cap_s=st.floats(0, 100),
    retry_after_cap_s=st.floats(0, 1000),
)
fractions = st.floats(0, 1)


@given(
    policies,
    st.sampled_from(RETRYABLE),
    st.integers(1, 10_000),
    st.none() | st.floats(allow_nan=False),
    fractions,
)
def test_a_wait_is_never_negative_and_never_above_its_caps(
    policy: RetryPolicy,
    error_class: type[AssemblyAIError],
    attempt: int,
    retry_after: float | None,
    fraction: float,
) -> None:
    wait_s = policy.wait_s(
        error_class("x", retry_after=retry_after), attempt, lambda low, high: low + (high - low) * fraction
    )
    if attempt >= policy.tries:
        assert wait_s is None
        return
    assert wait_s is not None
    most = policy.cap_s if retry_after is None else policy.retry_after_cap_s + policy.base_s
    assert 0 <= wait_s <= most


@given(st.floats(0, 120), fractions)
def test_what_the_service_asks_for_is_a_least_wait(asked: float, fraction: float) -> None:
    policy = RetryPolicy()
    error = RateLimitError("x", retry_after=asked)
    wait_s = policy.wait_s(error, 1, lambda low, high: low + (high - low) * fraction)
    assert wait_s is not None
    assert asked <= wait_s <= asked + policy.base_s


def test_the_service_cannot_ask_for_more_than_the_cap() -> None:
    wait_s = RetryPolicy(retry_after_cap_s=30).wait_s(RateLimitError("x", retry_after=86400), 1)
    assert wait_s is not None
    assert wait_s <= 30.5


def test_waits_double_up_to_the_cap() -> None:
    policy = RetryPolicy(tries=10, base_s=1.0, cap_s=10.0)
    waits = [policy.wait_s(ServerError("x"), attempt, lambda _, high: high) for attempt in range(1, 7)]
    assert waits == [1, 2, 4, 8, 10, 10]
    shortest = [policy.wait_s(ServerError("x"), attempt, lambda low, _: low) for attempt in range(1, 7)]
    assert shortest == [0.5, 1, 2, 4, 5, 5]


def test_waits_are_drawn_so_that_clients_that_failed_together_come_back_apart() -> None:
    assert len({RetryPolicy().wait_s(ServerError("x"), 3) for _ in range(20)}) > 1


def tries_made(policy: RetryPolicy, error: AssemblyAIError) -> int:
    attempt = 1
    while policy.wait_s(error, attempt) is not None:
        attempt += 1
    return attempt


@pytest.mark.parametrize("error_class", RETRYABLE)
def test_a_call_is_made_as_often_as_the_policy_says(error_class: type[AssemblyAIError]) -> None:
    for tries in (1, 2, 5, 9):
        assert tries_made(RetryPolicy(tries=tries), error_class("x")) == tries


@pytest.mark.parametrize("error_class", FINAL)
def test_what_cannot_work_later_is_not_repeated_even_if_asked_to(error_class: type[AssemblyAIError]) -> None:
    assert tries_made(RetryPolicy(tries=9), error_class("x")) == 1
    assert RetryPolicy(tries=9).wait_s(error_class("x", retry_after=1.0), 1) is None


def test_403_is_tried_once_more_where_it_may_be_the_request_limit() -> None:
    assert tries_made(RetryPolicy(tries=9), ForbiddenError("x", perhaps_throttled=True)) == 2
    assert tries_made(RetryPolicy(tries=9), ForbiddenError("x")) == 1
    assert tries_made(NO_RETRY, ForbiddenError("x", perhaps_throttled=True)) == 1


def test_422_is_tried_three_times_in_all() -> None:
    assert tries_made(RetryPolicy(tries=9), UploadRefusedError("x")) == 3
    assert tries_made(RetryPolicy(tries=2), UploadRefusedError("x")) == 2


@pytest.mark.parametrize("error_class", [*RETRYABLE, *FINAL])
def test_no_retry_gives_up_at_once(error_class: type[AssemblyAIError]) -> None:
    assert NO_RETRY.wait_s(error_class("x", retry_after=1.0), 1) is None


# Retry-After ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("-inf", 0.0),
        ("inf", None),
        ("1e999", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("7 seconds", None),
        ("Mon, 23 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 23 Nov 2026 13:01:30 +0100", 90.0),
        ("Mon, 23 Nov 2026 12:01:30 -0000", 90.0),  # A date without a zone.
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 99 Nov 2026 11:00:00 GMT", None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
        ("Fri, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@given(st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_a_date_is_the_time_until_then_and_never_negative(distance: timedelta) -> None:
    moment = (NOW + distance).replace(microsecond=0)
    assert retry_after_s(format_datetime(moment), NOW) == max((moment - NOW).total_seconds(), 0.0)


@given(
    st.text()
    | st.from_regex(r"\A(Mon, )?[0-9]{1,25} (Jan|Feb|Foo) [0-9]{1,25} [0-9]{1,9}:[0-9]{1,9} [+-]?[0-9]{0,25}\Z")
)
@example("Mon, 01 Jan 2026 00:00:00 +9999999999999999999")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_header_can_break_the_wait(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or 0 <= seconds < float("inf")
