"""A part of what ``make faults`` does: workers killed and tasks cleared, counted at the service."""

from __future__ import annotations

from functools import partial

import pytest

from tests.e2e.world import World
from tests.faults import scenarios
from tests.faults.cases import Row
from tests.faults.scenarios import KILLS, SLOT_KILLS, Scenes

pytestmark = pytest.mark.e2e

DEFERRED = (
    "worker killed before the intent",
    "worker killed after the service accepted",
    "worker killed during the outputs",
    "worker killed after the outputs",
)
IN_A_SLOT = ("worker in a slot killed while it waits",)
PEOPLE = ("task marked failed while deferred, then cleared",)


@pytest.fixture(scope="module")
def rows(world: World) -> dict[str, Row]:
    """What each fault led to. They happen side by side."""
    if world.postgres is None:
        pytest.skip("on PostgreSQL only: it takes a while, and the database makes no difference to it")
    scenes = Scenes(world, world.audio.parent / "holds")
    jobs = [partial(scenarios.killed, scenes, fault, KILLS[fault]) for fault in DEFERRED]
    jobs += [partial(scenarios.killed, scenes, fault, SLOT_KILLS[fault], slot=True) for fault in IN_A_SLOT]
    jobs += [partial(scenarios.marked, scenes, "failed")]
    return {row.fault: row for row in scenarios.in_parallel([*jobs])}


@pytest.mark.parametrize("fault", [*DEFERRED, *IN_A_SLOT, *PEOPLE])
def test_one_transcript_is_paid_for_and_its_outputs_are_whole(rows: dict[str, Row], fault: str) -> None:
    row = rows[fault]
    assert (row.made, row.lost, row.why) == (1, 0, "")
    assert row.tries >= 2
