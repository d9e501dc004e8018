"""Many files in one run."""

from __future__ import annotations

import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.e2e

FILES = 10


def test_each_file_is_submitted_once(world: World) -> None:
    for number in range(FILES):
        folder = world.script(f"archive/{number:02}", text=f"This is file {number}.", process_s=8).rpartition("/")[0]
    before = world.echo.requests("POST", "/v2/transcript")

    run = world.start("mapped", folder=folder)
    assert run.finish(240) == "success"

    texts = [run.result("wait", index)["text"] for index in range(FILES)]
    assert texts == [f"This is file {number}." for number in range(FILES)]
    ids = {run.result("submit", index) for index in range(FILES)}
    assert len(ids) == FILES
    assert world.echo.requests("POST", "/v2/transcript") - before == FILES
    listed = [row for row in world.echo.transcripts() if row["id"] in ids]
    assert len(listed) == FILES
