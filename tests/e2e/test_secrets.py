"""Secrets stay where they belong. Runs after the other files of this folder, over all that they left behind."""

from __future__ import annotations

import pytest

from demo.service import API_KEY
from tests.e2e.world import World

# The key of the service, and what makes a URL of object storage grant access.
SECRETS = (API_KEY, "X-Amz-Signature", "X-Amz-Credential")

pytestmark = pytest.mark.e2e


@pytest.mark.usefixtures("everything_ran")
def test_no_secret_is_in_any_log(world: World) -> None:
    folders = (world.airflow.home / "logs", world.airflow.logs, world.echo.home, world.whisper.home)
    logs = [path for folder in folders for path in folder.rglob("*.log*") if path.is_file()]
    assert len(logs) > 4
    for secret in SECRETS:
        assert [path for path in logs if secret in path.read_text(errors="replace")] == []


@pytest.mark.usefixtures("everything_ran")
def test_no_secret_is_anywhere_in_the_database(world: World) -> None:
    """XCom, rendered template fields, trigger arguments and events are all tables of it."""
    dump = world.dump()
    assert "Nothing to see here." in dump
    assert [secret for secret in SECRETS if secret in dump] == []


@pytest.fixture
def everything_ran(world: World) -> None:
    """Make sure that there is something to look at if this file is run alone."""
    run = world.start("waiting", audio=world.script("secret", text="Nothing to see here."))
    assert run.finish() == "success"
