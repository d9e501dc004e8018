"""Starts the Airflow that the fault tests disturb, once, on PostgreSQL; and the faults, all at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from demo.processes import end_on_signals
from tests.faults import wire, zombies
from tests.faults.cases import Row
from tests.faults.scenarios import Scenes
from tests.faults.stage import stage
from tests.faults.test_zombies import FAILED, REPLY_CUT_OFF, SIGNED, SUBMITS_WITHOUT_SUPERVISOR


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """Everything, running. It is stopped however the tests end, with SIGTERM too."""
    end_on_signals()
    with stage(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="session")
def rows(scenes: Scenes) -> Iterator[dict[str, Future[Row]]]:
    """What each fault leads to. They happen side by side, while other tests run."""
    orphan = SUBMITS_WITHOUT_SUPERVISOR
    jobs = {
        orphan: partial(zombies.outlives_its_supervisor, step=zombies.WITHOUT_SUPERVISOR[orphan]),
        SIGNED: partial(wire.cut_off, step=wire.CUT_OFF[REPLY_CUT_OFF], bucket=True),
        **{fault: partial(zombies.taken_for_failed, step=zombies.TAKEN_FOR_FAILED[fault]) for fault in FAILED},
    }
    with ThreadPoolExecutor(len(jobs)) as pool:
        yield {fault: pool.submit(job, scenes, fault) for fault, job in jobs.items()}
