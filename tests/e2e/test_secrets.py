"""The API key stays where it belongs. Runs after the other files of this folder, over all that they left behind."""

from __future__ import annotations

import pytest

from demo.service import API_KEY
from tests.e2e.world import World

pytestmark = pytest.mark.e2e


@pytest.mark.usefixtures("everything_ran")
def test_the_key_is_in_no_log(world: World) -> None:
    folders = (world.airflow.home / "logs", world.airflow.logs, world.echo.home, world.whisper.home)
    logs = [path for folder in folders for path in folder.rglob("*.log*") if path.is_file()]
    assert len(logs) > 4
    assert [path for path in logs if API_KEY in path.read_text(errors="replace")] == []


@pytest.mark.usefixtures("everything_ran")
def test_the_key_is_nowhere_in_the_database(world: World) -> None:
    """XCom, rendered template fields, trigger arguments and events are all tables of it."""
    dump = world.dump()
    assert "Nothing to see here." in dump
    assert API_KEY not in dump


@pytest.fixture
def everything_ran(world: World) -> None:
    """Make sure that there is something to look at if this file is run alone."""
    run = world.start("waiting", audio=world.script("secret", text="Nothing to see here."))
    assert run.finish() == "success"
