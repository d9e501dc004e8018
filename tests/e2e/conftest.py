"""Starts the worlds: all tests on SQLite first, then all again on PostgreSQL, never both at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.processes import end_on_signals
from tests.e2e import world as worlds
from tests.e2e.world import World
from tests.faults import scenarios


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Look for secrets last, in what all other tests left behind."""
    items.sort(key=lambda item: item.path.name == "test_secrets.py")


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything, running. It is stopped however the tests end, with SIGTERM too."""
    end_on_signals()
    database = str(request.param)
    home = tmp_path_factory.mktemp(database)
    env = scenarios.holding(home / "holds")
    with worlds.world(database, home, env=env, dag_folders=[scenarios.DAGS]) as started:
        yield started
