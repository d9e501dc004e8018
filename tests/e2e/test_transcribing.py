"""Recordings to text in one task each, by real processes: both modes, disk and bucket, retries and Clear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.world import Run, World, wait_until
from tests.object_storage import BUCKET

pytestmark = pytest.mark.e2e

FILES = 20


@dataclass(frozen=True)
class Mapped:
    """The run over many files, ended."""

    run: Run
    local: Path
    submissions: int


@pytest.fixture(scope="module")
def mapped(world: World, tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    local = tmp_path_factory.mktemp("text")
    for number in range(FILES):
        folder = world.script(f"calls/{number:02}", text=f"This is call {number}.", process_s=1).rpartition("/")[0]
    before = world.echo.requests("POST", "/v2/transcript")
    run = world.start("transcribing", folder=folder, local=str(local), bucket=f"s3://storage@{BUCKET}/text")
    assert run.finish(420) == "success"
    return Mapped(run, local, world.echo.requests("POST", "/v2/transcript") - before)


def test_each_file_is_paid_for_once_in_each_mode(mapped: Mapped) -> None:
    assert mapped.submissions == 2 * FILES


def test_text_is_on_the_disk(mapped: Mapped) -> None:
    texts = sorted(path.read_text() for path in mapped.local.glob("*.txt"))
    assert texts == sorted(f"This is call {number}.\n" for number in range(FILES))
    assert len(list(mapped.local.glob("*.srt"))) == FILES


def test_text_is_in_the_bucket(world: World, mapped: Mapped) -> None:
    keys = [key for key in world.storage.keys("text/") if key.endswith(".txt")]
    assert sorted(world.storage.get(key) for key in keys) == sorted(
        f"This is call {number}.\n".encode() for number in range(FILES)
    )


def test_the_next_task_gets_a_summary_of_its_file(mapped: Mapped) -> None:
    for task_id in ("deferred", "in_a_slot"):
        summary = mapped.run.result(task_id, 7)
        assert (summary["text"], summary["word_count"]) == ("This is call 7.", 4)
    assert mapped.run.result("deferred", 7)["outputs"]["txt"].startswith("file:///")
    assert mapped.run.result("in_a_slot", 7)["outputs"]["txt"].startswith(f"s3://storage@{BUCKET}/text/07.json.")


def test_clear_finds_the_job_while_it_runs_and_its_outputs_afterwards(world: World, tmp_path: Path) -> None:
    world.storage.put("calls/cleared.json", Path(world.script("cleared", text="Only once.", process_s=25)).read_bytes())
    before = world.echo.requests("POST", "/v2/transcript")
    run = world.start("one_recording", audio=f"s3://storage@{BUCKET}/calls/cleared.json", output=str(tmp_path))
    run.wait_for("transcribe", "deferred")
    run.api.clear(run.dag_id, run.run_id, ["transcribe"])
    assert run.finish(240) == "success"
    summary = run.result("transcribe")
    assert summary["text"] == "Only once."
    assert run.task("transcribe").try_number >= 2
    # Its outputs were read and compared first.
    assert run.result("delete") == summary["transcript_id"]
    [row] = [row for row in world.echo.transcripts() if row["id"] == summary["transcript_id"]]
    assert row["audio_url"] == "http://deleted_by_user"

    asked = world.echo.requests("GET", "/v2/transcript/{id}")
    run.api.clear(run.dag_id, run.run_id, ["transcribe"])
    wait_until(lambda: run.task("transcribe").state != "success", "the task is cleared")
    assert run.finish(240) == "success"
    assert run.result("transcribe") == summary
    assert world.echo.requests("GET", "/v2/transcript/{id}") == asked
    assert world.echo.requests("POST", "/v2/transcript") - before == 1
