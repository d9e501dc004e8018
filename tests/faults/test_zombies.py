"""A part of what ``make faults`` does besides killing workers: successors, broken requests, signed URLs."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

import pytest

from tests.faults import wire, zombies
from tests.faults.cases import Row
from tests.faults.conftest import Begin
from tests.faults.scenarios import Scenes

pytestmark = pytest.mark.e2e

SUBMITS_WITHOUT_SUPERVISOR = "supervisor killed, worker lives on and submits"
FAILED_IN_THE_OUTPUTS = "taken for failed by 3.3.2 during the outputs"
FAILED_BEFORE_THE_ID = "taken for failed by 3.3.2 between submission and id"
REPLY_CUT_OFF = "worker killed while the service replies"


@pytest.fixture(scope="session")
def rows(scenes: Scenes, begin: Begin) -> dict[str, Future[Row]]:
    """What each fault leads to. They happen side by side, while other tests run."""
    signed = f"{REPLY_CUT_OFF} (signed URL)"
    jobs = {
        SUBMITS_WITHOUT_SUPERVISOR: partial(
            zombies.outlives_its_supervisor, step=zombies.WITHOUT_SUPERVISOR[SUBMITS_WITHOUT_SUPERVISOR]
        ),
        **{
            fault: partial(zombies.taken_for_failed, step=zombies.TAKEN_FOR_FAILED[fault])
            for fault in (FAILED_IN_THE_OUTPUTS, FAILED_BEFORE_THE_ID)
        },
        signed: partial(wire.cut_off, step=wire.CUT_OFF[REPLY_CUT_OFF], bucket=True),
    }
    return {fault: begin(partial(job, scenes, fault)) for fault, job in jobs.items()}


@pytest.mark.parametrize(
    "fault",
    [SUBMITS_WITHOUT_SUPERVISOR, FAILED_IN_THE_OUTPUTS, FAILED_BEFORE_THE_ID, f"{REPLY_CUT_OFF} (signed URL)"],
)
def test_one_transcript_is_paid_for_and_its_outputs_are_whole(rows: dict[str, Future[Row]], fault: str) -> None:
    row = rows[fault].result()
    assert (row.made, row.lost, row.why) == (1, 0, "")
    assert row.tries >= 2
