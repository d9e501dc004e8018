"""A folder of calls becomes tables and a report; the broken one is named and stops nothing. Twice costs once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import browser
from tests.e2e.world import RECORDINGS, Run, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]

pytestmark = [pytest.mark.e2e, pytest.mark.speech]

CALLS = ("call-02-cold-hotel-room.flac", "call-06-internet-outage.mp3")
BROKEN = "broken-recording.mp3"


@dataclass(frozen=True)
class Ended:
    """A run, ended, and where it wrote."""

    run: Run
    params: dict[str, str | None]
    output: Path


@pytest.fixture(scope="module")
def ended(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder, output = tmp_path_factory.mktemp("calls"), tmp_path_factory.mktemp("report")
    for name in (*CALLS, BROKEN):
        shutil.copy(RECORDINGS / name, folder)
    params = {"folder": str(folder), "output_path": str(output), "sql_conn_id": world.tables}
    run = world.start("transcribe_calls", **params)
    run.finish(300)
    return Ended(run, params, output)


def test_the_report_tells_of_every_call(ended: Ended) -> None:
    states = {task.task_id: task.state for task in ended.run.tasks() if task.map_index < 0}
    assert (states["analyse"], states["report"]) == ("success", "success")
    html = (ended.output / "report.html").read_text()
    for name in (*CALLS, BROKEN):
        assert name in html
    assert "hotel" in html
    assert "agent" in html
    assert "Transcoding failed" in html


def test_a_browser_shows_the_report_on_a_phone_in_the_dark(ended: Ended, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((ended.output / "report.html").as_uri())
    assert page.locator("svg rect").count() > 10 * len(CALLS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []


def test_a_recording_that_failed_is_named_at_the_end(ended: Ended) -> None:
    states = {task.task_id: task.state for task in ended.run.tasks() if task.map_index < 0}
    assert states["complete"] == "failed"
    assert BROKEN in ended.run.error("complete")
    assert [task.state for task in ended.run.tasks() if task.task_id == "transcribe"].count("failed") == 1


def test_the_tables_are_where_they_were_wanted(world: World, ended: Ended) -> None:
    assert (ended.output / "calls.sqlite").exists() is (world.tables is None)
    if world.tables is not None:
        dump = world.dump()
        assert "COPY public.calls " in dump
        assert CALLS[0] in dump


def test_a_second_run_asks_the_service_for_nothing_but_the_one_that_failed(world: World, ended: Ended) -> None:
    before = sorted(ended.output.glob("*.json"))
    first = (ended.output / "report.html").read_text()
    run = world.start("transcribe_calls", **ended.params)
    run.finish(300)
    assert sorted(ended.output.glob("*.json")) == before
    assert _summaries(run) == _summaries(ended.run)
    assert (ended.output / "report.html").read_text().count("hotel") == first.count("hotel")


def _summaries(run: Run) -> list[object]:
    done = [task for task in run.tasks() if task.task_id == "transcribe" and task.state == "success"]
    return [run.result("transcribe", task.map_index) for task in done]
