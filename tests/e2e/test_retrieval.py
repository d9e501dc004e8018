"""A folder of calls, one of them broken, becomes an index that answers a question with file and time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.world import RECORDINGS, Run, World

pytestmark = [pytest.mark.e2e, pytest.mark.speech]

TRAIN, OUTAGE, BROKEN = "call-03-canceled-train.m4a", "call-06-internet-outage.mp3", "broken-recording.mp3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calls")
    for name in (TRAIN, OUTAGE, BROKEN):
        shutil.copy(RECORDINGS / name, folder)
    return folder


@pytest.fixture(scope="module")
def run(world: World, folder: Path) -> Run:
    """The run, ended."""
    run = _start(world, folder, question="When does the train to Chicago leave?")
    run.finish(240)
    return run


def test_the_question_is_answered_with_the_passage_its_file_time_and_speakers(run: Run) -> None:
    best = run.result("answer")[0]
    assert best["audio"].endswith(TRAIN)
    assert 0 <= best["start_ms"] < best["end_ms"] < 60_000
    assert set(best["speakers"]) <= {"1", "2"}
    assert "train" in best["text"].lower()
    log = run.log("answer")
    assert f"{TRAIN}, 00:" in log
    # Airflow makes an event of each line, and may put those of one moment in any order.
    assert [line for line in best["text"].splitlines() if line not in log] == []


def test_a_recording_that_fails_is_named_and_does_not_keep_the_others_out(run: Run) -> None:
    states = {(task.task_id, task.map_index): task.state for task in run.tasks()}
    assert [states["transcribe", index] for index in range(3)] == ["failed", "success", "success"]
    assert states["index", -1] == states["answer", -1] == "success"
    assert run.finish(1) == "failed"
    assert BROKEN in run.error("complete")


def test_running_it_again_adds_nothing_twice(run: Run, world: World, folder: Path) -> None:
    (folder / BROKEN).unlink()
    again = _start(world, folder, question="Why is the internet down?")
    assert again.finish(240) == "success"
    assert again.result("index") == {**run.result("index"), "missing": []}
    assert again.result("answer")[0]["audio"].endswith(OUTAGE)


def _start(world: World, folder: Path, question: str) -> Run:
    return world.start(
        "index_for_retrieval",
        folder=str(folder),
        output_path=f"{folder}/transcripts",
        index=f"{folder}/index.sqlite",
        question=question,
        multichannel=True,
    )
