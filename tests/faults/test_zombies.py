"""A part of what ``make faults`` does besides killing workers: successors, a broken request, a signed URL."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.faults.cases import Row

pytestmark = pytest.mark.e2e

SUBMITS_WITHOUT_SUPERVISOR = "supervisor killed, worker lives on and submits"
FAILED = ("taken for failed by 3.3.2 between submission and id", "taken for failed by 3.3.2 during the outputs")
REPLY_CUT_OFF = "worker killed while the service replies"
SIGNED = f"{REPLY_CUT_OFF} (signed URL)"


@pytest.mark.parametrize("fault", [SUBMITS_WITHOUT_SUPERVISOR, *FAILED, SIGNED])
def test_one_transcript_is_paid_for_and_its_outputs_are_whole(rows: dict[str, Future[Row]], fault: str) -> None:
    row = rows[fault].result()
    assert (row.made, row.lost, row.why) == (1, 0, "")
    assert row.tries >= 2
