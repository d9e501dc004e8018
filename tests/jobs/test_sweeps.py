from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.jobs.sweeps import Sweeps

watched = st.integers(0, 100_000)
moments = st.floats(0, 1e6)


def least(low: float, high: float) -> float:
    return low


def taught(pages: int, mean_s: float, *, soonest_s: float = 3.0, most_s: float = 60.0) -> Sweeps:
    sweeps = Sweeps()
    sweeps.done(pages, 0.0, soonest_s=soonest_s, most_s=most_s, mean_s=mean_s, uniform=least)
    return sweeps


@given(st.integers(10, 100_000))
def test_before_anything_is_known_many_are_looked_for_by_the_list(number: int) -> None:
    assert Sweeps().pay(number, 0.0)


@given(st.integers(0, 9))
def test_a_few_are_asked_for_by_themselves(number: int) -> None:
    assert not Sweeps().pay(number, 0.0)


def test_the_last_few_of_many_are_swept_for_while_that_is_cheaper() -> None:
    sweeps = taught(1, 3.0)
    assert sweeps.pay(5, 0.0)
    assert not sweeps.pay(1, 0.0)


@given(watched, st.integers(1, 1000), st.floats(1, 60))
def test_the_cheaper_way_is_taken(number: int, pages: int, mean_s: float) -> None:
    sweeps = taught(pages, mean_s)
    if sweeps.pay(number, 0.0):
        assert pages / sweeps.interval_s < number / mean_s
    else:
        assert pages / sweeps.interval_s >= number / mean_s


@given(st.integers(1, 1000), st.floats(0, 1e5), st.floats(0.1, 600))
def test_an_interval_grows_with_pages_and_with_that_of_single_looks_and_keeps_to_what_is_wanted(
    pages: int, soonest_s: float, most_s: float
) -> None:
    sweeps = taught(pages, 3.0, soonest_s=soonest_s, most_s=most_s)
    assert sweeps.interval_s >= pages * 0.1
    assert sweeps.interval_s <= max(min(most_s, 15.0), pages * 0.1)
    # Ten pages a second at most, whatever is waited for.
    assert pages / sweeps.interval_s <= 10.0 + 1e-9


@given(st.integers(0, 2000), st.integers(0, 3000), st.floats(1, 60))
def test_a_sweep_ends_where_the_next_page_is_dearer_than_asking(unseen: int, barren: int, mean_s: float) -> None:
    sweeps = taught(1, mean_s)
    if sweeps.go_on(unseen, barren):
        assert unseen > 1
        assert barren < unseen
    assert not sweeps.go_on(0, 0)
    assert not sweeps.go_on(unseen, unseen)


def test_strangers_do_not_make_a_sweep_endless() -> None:
    """With thirty of ours under a heap of others' transcripts, a sweep gives up after some pages."""
    sweeps, barren = Sweeps(), 0
    while sweeps.go_on(30, barren):
        barren += 1
    assert barren <= 30


@given(st.integers(1, 20), moments, st.randoms())
def test_a_list_that_cannot_be_had_is_left_alone_for_a_while(failures: int, now: float, draw: random.Random) -> None:
    sweeps = Sweeps()
    for _ in range(failures):
        sweeps.failed(now, draw.uniform)
        assert sweeps.next_at > now
    off = math.isfinite(sweeps.off_until) and now < sweeps.off_until
    assert sweeps.pay(1000, now) == (not off)
    assert off == (failures >= 5)
    sweeps.failed(now, draw.uniform, usable=False)
    assert not sweeps.pay(1000, now)
    assert sweeps.pay(1000, sweeps.off_until)


def test_a_first_look_hastens_the_next_sweep_but_never_one_that_failed() -> None:
    sweeps = taught(5, 3.0, soonest_s=600.0)
    assert sweeps.next_at == 15.0
    sweeps.hasten()
    assert sweeps.next_at == 3.0
    sweeps.failed(3.0, least)
    later = sweeps.next_at
    sweeps.hasten()
    assert sweeps.next_at == later
