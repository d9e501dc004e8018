"""Four videos on their way to captions: a good one, two that a person has to decide on, and a broken one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_api import FINISHED_RUN
from tests.asr_examples.video import write_video
from tests.e2e.world import RECORDINGS, Run, World, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.speech]

CALL = RECORDINGS / "call-05-clinic-appointment.ogg"
NAMES = ["approved.mp4", "broken.mp4", "good.mp4", "rejected.mp4"]  # In the order of the tasks' indexes.
APPROVED, BROKEN, GOOD, REJECTED = range(4)
PEOPLE_TAKE = timedelta(seconds=5)


@dataclass(frozen=True)
class Ended:
    """The run, ended, and what people were asked in it."""

    run: Run
    folder: Path
    questions: dict[int, dict[str, Any]]
    """By the index of the video."""
    before: set[str]
    """The captions that were published before anybody had answered."""

    def published(self) -> set[str]:
        return _captions_in(self.folder)

    def state(self, task: str, index: int) -> str | None:
        return {(each.task_id, each.map_index): each.state for each in self.run.tasks()}[f"video.{task}", index]


@pytest.fixture(scope="module")
def ended(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The run, with the answers that its videos need."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / NAMES[GOOD], CALL)
    (folder / NAMES[BROKEN]).write_bytes(bytes(range(256)) * 40)
    for doubtful in (APPROVED, REJECTED):
        write_video(folder / NAMES[doubtful], CALL, noise=0.06)
    run = world.start("caption_videos", videos=[str(folder)], output_path=f"{folder}/transcripts", most_unsure=0.3)

    wait_until(lambda: len(_captions_in(folder)) == len(_questions(run)) == 2, "two questions are asked", timeout_s=240)
    questions, before = _questions(run), _captions_in(folder)
    wait_until(lambda: _answer_all(run, {APPROVED: "Approve", REJECTED: "Reject"}), "the run has ended", timeout_s=240)
    return Ended(run, folder, questions, before)


def test_good_captions_are_published_while_others_wait_for_a_person(ended: Ended) -> None:
    assert ended.before == {"good.srt", "good.vtt"}
    assert "Riverside" in (ended.folder / "good.srt").read_text()
    assert ended.state("approve", GOOD) == "skipped"


def test_a_person_is_asked_about_doubtful_captions_and_sees_the_passages_with_their_times(ended: Ended) -> None:
    assert set(ended.questions) == {APPROVED, REJECTED}
    question = ended.questions[APPROVED]
    assert question["subject"] == "Publish the captions of approved.mp4?"
    assert "- 00:0" in question["body"]
    assert "**" in question["body"]


def test_what_was_approved_is_published_and_what_was_rejected_is_not(ended: Ended) -> None:
    assert ended.published() == {"good.srt", "good.vtt", "approved.srt", "approved.vtt"}
    assert ended.state("publish", REJECTED) == "skipped"


def test_a_broken_video_stops_no_other_and_the_report_names_it(ended: Ended) -> None:
    assert ended.state("transcribe", BROKEN) == "failed"
    assert [ended.state("transcribe", index) for index in (APPROVED, GOOD, REJECTED)] == ["success"] * 3
    assert ended.run.finish(1) == "failed"
    assert "1 of 4 videos" in ended.run.error("report")
    assert "broken.mp4" in ended.run.error("report")
    log = ended.run.log("report")
    for outcome in ("published: ", "published, approved by ", "not published, rejected by ", "failed: "):
        assert outcome in log


def _questions(run: Run) -> dict[int, dict[str, Any]]:
    rows = run.api.get(f"dags/{run.dag_id}/dagRuns/{run.run_id}/hitlDetails")["hitl_details"]
    return {row["task_instance"]["map_index"]: row for row in rows}


def _answer_all(run: Run, answers: dict[int, str]) -> bool:
    """Answer what waits for an answer, and say whether the run has ended.

    Airflow 3.3.2 takes the end of a task's first leg for a failure if the answer comes within a second of the question
    (see Run.tries), and asks again in the next try. People are slower than that.
    """
    now = datetime.now(UTC)
    asked = {index: datetime.fromisoformat(question["created_at"]) for index, question in _questions(run).items()}
    for task in run.tasks():
        waits = task.task_id == "video.approve" and task.state == "awaiting_input"
        if waits and now - asked[task.map_index] > PEOPLE_TAKE:
            path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/video.approve/{task.map_index}/hitlDetails"
            run.api.request("PATCH", path, json={"chosen_options": [answers[task.map_index]], "params_input": {}})
    return run.api.run_state(run.dag_id, run.run_id) in FINISHED_RUN


def _captions_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in (".srt", ".vtt")}
