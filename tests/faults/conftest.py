"""Starts the Airflow that the fault tests disturb: once, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from demo.processes import end_on_signals
from tests.faults.cases import Row
from tests.faults.scenarios import Scenes
from tests.faults.stage import stage

Begin = Callable[[Callable[[], Row]], "Future[Row]"]


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """Everything, running. It is stopped however the tests end, with SIGTERM too."""
    end_on_signals()
    with stage(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="session")
def begin(scenes: Scenes) -> Iterator[Begin]:
    """Begins what takes a while, side by side. All of it has ended before the Airflow is stopped."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit
