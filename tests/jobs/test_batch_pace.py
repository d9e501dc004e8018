"""The ramp and the budget of a batch."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.jobs.batch.budget import Budget, Meter, nothing_spent
from airflow_asr.jobs.batch.limits import Limits
from airflow_asr.jobs.batch.ramp import Ramp, RampState

steps = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 60)), max_size=60)


def send(ramp: Ramp, plan: list[tuple[float, int]]) -> list[tuple[RampState, int]]:
    """Send as many jobs as a plan wants and the ramp allows; return the window of each, and how many."""
    now, state, sent = 1000.0, None, []
    for wait_s, wanted in plan:
        now += wait_s
        state = ramp.at(state, now)
        count = min(wanted, ramp.allowed(state))
        sent.append((state, count))
        state = RampState(began=state["began"], windows=state["windows"], sent=state["sent"] + count)
    return sent


@given(steps, st.integers(1, 50), st.floats(1, 30), st.floats(0, 0.5))
def test_no_window_has_more_jobs_than_the_ramp_allows_by_then(
    plan: list[tuple[float, int]], first: int, window_s: float, growth: float
) -> None:
    ramp, counts, began = Ramp(first, window_s, growth), Counter[float](), 0.0
    for window, count in send(ramp, plan):
        assert window["began"] == began or window["began"] >= began + window_s
        began = window["began"]
        counts[began] += count
        used = sum(bool(counts[each]) for each in counts if each < began)
        assert window["windows"] <= used  # It grows by what was used, and by nothing else.
        assert counts[began] <= ramp.size(used)


def test_the_vendors_ramp_has_sent_a_thousand_within_five_minutes() -> None:
    ramp = Ramp()
    sent = send(ramp, [(15.0, 1000)] * 19)
    assert [count for _, count in sent[:3]] == [25, 27, 29]
    assert 900 < sum(count for _, count in sent) < 1100


def test_a_window_that_nobody_used_does_not_make_the_next_one_larger() -> None:
    ramp = Ramp(first=10, window_s=1.0, growth=1.0)
    assert [count for _, count in send(ramp, [(0, 5), (100, 0), (100, 0), (100, 1000)])] == [5, 0, 0, 20]


@given(st.integers(1, 1000), st.one_of(st.integers(1, 2000), st.floats(0, 1)))
def test_a_batch_goes_on_at_least_when_all_have_ended(in_flight: int, refill_at: int | float) -> None:
    assert 1 <= Limits(refill_at=refill_at).refill_count(in_flight) <= in_flight


recordings = st.lists(st.tuples(st.integers(1, 10_000), st.floats(1, 3600)), min_size=1, max_size=30)


@given(recordings, st.floats(0.01, 5))
def test_lengths_that_are_known_never_exceed_the_budget(found: list[tuple[int, float]], hours: float) -> None:
    meter = Meter(Budget(max_seconds=hours * 3600), nothing_spent())
    admitted = []
    for number, (size, seconds) in enumerate(found):
        if meter.admits(seconds, {}):
            meter.reserve(str(number), seconds, {})
            admitted.append((number, size, seconds))
    for number, size, seconds in admitted:
        meter.release(str(number))
        meter.charge("a.wav", size, seconds, None)
    assert meter.spent["seconds"] <= hours * 3600 * (1 + 1e-9)


@given(recordings, st.floats(0.1, 5))
def test_lengths_that_nobody_knows_exceed_it_by_one_recording_at_most(
    found: list[tuple[int, float]], hours: float
) -> None:
    """Where a byte holds as much as in the first recording, and each is sent when it may be."""
    rate = found[0][1] / found[0][0]
    meter, longest = Meter(Budget(max_seconds=hours * 3600), nothing_spent()), 0.0
    for number, (size, _) in enumerate(found):
        seconds = rate * size
        if meter.admits(meter.estimate_s("a.wav", size, None), {}):
            meter.reserve(str(number), meter.estimate_s("a.wav", size, None), {})
            longest = max(longest, seconds)
            meter.release(str(number))
            meter.charge("a.wav", size, seconds, None)
    assert meter.spent["seconds"] <= hours * 3600 + longest


def test_the_dearest_model_that_may_run_counts_until_one_has_run() -> None:
    budget = Budget(prices={"nano": 0.1, "best": 0.4})
    config = {"speech_models": ["nano", "best"]}
    assert budget.cost(3600, config) == pytest.approx(0.4)
    assert budget.cost(3600, config, "nano") == pytest.approx(0.1)


def test_money_stops_where_it_is_used_up() -> None:
    meter = Meter(Budget(max_cost=1.0, prices={"default": 1.0}), nothing_spent())
    assert meter.admits(3600, {})
    assert not meter.admits(3601, {})
    meter.reserve("a", 1800, {})
    assert not meter.admits(1801, {})
    meter.release("a")
    meter.charge("a.wav", 10, 3600, 1.0)
    assert not meter.admits(1, {})
    assert not meter.admits(None, {})
