from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.jobs.schedule import (
    ACCOUNT_REQUESTS,
    ACCOUNT_WINDOW_S,
    PollSchedule,
    RequestBudget,
    backoff_s,
)

seconds = st.floats(0, 1e5)
schedules = st.builds(
    PollSchedule,
    first_s=seconds,
    least_s=seconds,
    most_s=seconds,
    share_of_age=st.floats(0, 2),
    jitter=st.floats(0, 2),
)
fractions = st.floats(0, 1)


def drawn(fraction: float) -> random.Random:
    """Return a generator whose ``uniform`` is always at this fraction of the way."""
    fixed = random.Random()
    fixed.random = lambda: fraction  # type: ignore[method-assign]
    return fixed


# The times of a wait ---------------------------------------------------------------------------------------------


@given(schedules, fractions)
def test_the_first_look_is_never_under_first_s(schedule: PollSchedule, fraction: float) -> None:
    assert schedule.first(drawn(fraction).uniform) >= schedule.first_s


@given(schedules, seconds, fractions)
def test_an_interval_is_between_the_shortest_and_the_longest_with_its_jitter(
    schedule: PollSchedule, age_s: float, fraction: float
) -> None:
    interval = schedule.after(age_s, drawn(fraction).uniform)
    longest = max(schedule.most_s, schedule.least_s) * (1 + schedule.jitter)
    assert schedule.least_s <= interval <= longest * (1 + 1e-9)


@given(schedules, seconds, seconds, fractions)
def test_the_longer_the_wait_the_longer_the_interval(
    schedule: PollSchedule, one: float, other: float, fraction: float
) -> None:
    younger, older = sorted((one, other))
    uniform = drawn(fraction).uniform
    assert schedule.after(younger, uniform) <= schedule.after(older, uniform)


@given(schedules, seconds, st.integers(1, 1000), fractions)
def test_after_a_failure_the_next_look_comes_no_later_than_after_an_answer_but_for_a_second(
    schedule: PollSchedule, age_s: float, failures: int, fraction: float
) -> None:
    uniform = drawn(fraction).uniform
    wait_s = schedule.after_failure(age_s, failures, uniform)
    assert 0.5 <= wait_s <= max(schedule.after(age_s, uniform), 1.0) * (1 + 1e-9)


def test_a_transcript_that_always_fails_comes_to_cost_what_one_costs_that_is_not_done() -> None:
    waits = [PollSchedule().after_failure(3600, failures, lambda _, high: high) for failures in (1, 2, 3, 4, 7, 50)]
    assert waits == [1, 2, 4, 8, 64, 72]


def test_by_default_a_short_file_is_noticed_soon_and_a_long_one_asked_for_once_a_minute() -> None:
    schedule = PollSchedule()
    assert schedule.first(lambda low, _: low) == 10
    assert [schedule.after(age, lambda low, _: low) for age in (0, 10, 45, 300, 36_000)] == [3, 3, 9, 60, 60]


def test_waits_that_began_together_drift_apart() -> None:
    schedule = PollSchedule()
    assert len({schedule.first(random.uniform) for _ in range(20)}) > 1
    assert len({schedule.after(60, random.uniform) for _ in range(20)}) > 1


def test_an_hour_of_waiting_costs_few_requests() -> None:
    schedule = PollSchedule()
    age_s, looks = schedule.first(lambda low, _: low), 1
    while age_s < 3600:
        age_s += schedule.after(age_s, lambda low, _: low)
        looks += 1
    assert looks < 80


# The budget ----------------------------------------------------------------------------------------------------------

budgets = st.builds(RequestBudget, per_s=st.floats(0.01, 1000), burst=st.floats(1, 1000))
steps = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), min_size=1, max_size=60)


@given(budgets, steps, st.floats(-1e6, 1e6))
def test_no_window_of_time_sees_more_requests_than_burst_and_rate_allow(
    budget: RequestBudget, steps: list[tuple[float, int]], now: float
) -> None:
    sent: list[float] = []
    for pause_s, wanted in steps:
        now += pause_s
        for _ in range(min(wanted, budget.allowance(now))):
            budget.spend()
            sent.append(now)
    for first, begin in enumerate(sent):
        for last in range(first, len(sent)):
            allowed = budget.burst + budget.per_s * (sent[last] - begin)
            assert last - first + 1 <= allowed * (1 + 1e-6) + 1e-6


@given(budgets, st.integers(1, 3000), seconds)
def test_whoever_waits_as_long_as_told_may_send(budget: RequestBudget, spent: int, now: float) -> None:
    budget.wait_s(now)
    for _ in range(spent):
        budget.spend()
    wait_s = budget.wait_s(now)
    assert wait_s >= 0
    assert (wait_s == 0) == (budget.allowance(now) >= 1)
    assert budget.allowance(now + wait_s * (1 + 1e-6) + 1e-3) >= 1


def test_a_long_pause_saves_up_no_more_than_the_burst() -> None:
    budget = RequestBudget(per_s=10, burst=5)
    assert budget.allowance(0) == 5
    assert budget.allowance(1e9) == 5


def test_no_five_minutes_of_a_process_see_more_than_a_quarter_of_the_accounts_requests() -> None:
    budget = RequestBudget()
    assert budget.burst + budget.per_s * ACCOUNT_WINDOW_S <= 0.25 * ACCOUNT_REQUESTS


# After failures ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 100_000), st.floats(0, 60), st.floats(0, 600), fractions)
def test_a_pause_after_failures_is_between_half_the_step_and_the_cap(
    failures: int, base_s: float, cap_s: float, fraction: float
) -> None:
    pause_s = backoff_s(failures, drawn(fraction).uniform, base_s=base_s, cap_s=cap_s)
    assert 0 <= pause_s <= cap_s
    assert pause_s >= min(base_s, cap_s) / 2


@pytest.mark.parametrize(("failures", "longest_s"), [(1, 1), (2, 2), (3, 4), (7, 60), (1000, 60)])
def test_pauses_double_up_to_a_minute(failures: int, longest_s: float) -> None:
    assert backoff_s(failures, lambda _, high: high) == longest_s
