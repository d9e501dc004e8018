"""Days of an archive in one backfill: text for every day and week, and what it costs to do it again."""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.airflow_api import AirflowApiError
from tests.e2e.archive import DAG, DAY_DAG, WEEK_DAG, Archive, days, monday, transcripts
from tests.e2e.world import RECORDINGS, Run, World, wait_until
from tests.object_storage import BUCKET

# Airflow's part in it takes the same code on both databases, and most of the time.
pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("world", ["postgres"], indirect=True, scope="session")]

DAYS = days("2025-09-01", 10)
TOPICS = ["burst pipe", "missed parcel", "cold room", "canceled train", "broken router"]
SETTINGS = {"assemblyai_conn_id": "echo", "limits": {"first_poll": 5}}
CALL = "call-04-burst-pipe.wav"
POOLED = ("one", "two")


def topic(day: str) -> str:
    return TOPICS[DAYS.index(day) % len(TOPICS)]


def said(day: str) -> str:
    return f"On {day} somebody told us about the {topic(day)}."


def write(folder: Path, text: str, process_s: float = 0.5) -> None:
    folder.mkdir(parents=True)
    (folder / "call.wav").write_text(json.dumps({"echo": {"text": text, "process_s": process_s}}))


@dataclass(frozen=True)
class Backfilled:
    """The archive after its first backfill."""

    archive: Archive
    runs: list[Run]
    spent: int
    pooled: Run
    pooled_text: Path

    @property
    def world(self) -> World:
        return self.archive.world

    def submissions(self) -> int:
        """Return how many jobs the service ever got."""
        return len(transcripts(self.world.echo))


@pytest.fixture(scope="module")
def backfilled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Backfilled:
    home = tmp_path_factory.mktemp("archive")
    archive = Archive(world, home / "archive", home / "text")
    for day in DAYS:
        write(archive.folder / day, said(day))
    archive.configure(**SETTINGS)
    before = len(transcripts(world.echo))
    pooled = _start_pooled(world, home)
    runs = archive.backfill(DAYS[0], DAYS[-1])
    assert pooled.finish() == "success"
    spent = len(transcripts(world.echo)) - before - len(POOLED)
    return Backfilled(archive, runs, spent, pooled, home / "pooled-text")


def _start_pooled(world: World, home: Path) -> Run:
    for name in POOLED:
        write(home / "pooled" / name, f"In a pool, {name}.", 8)
    world.airflow.command("pools", "set", "assemblyai", "2", "jobs at a time", "--include-deferred")
    return world.start("pooled", folder=str(home / "pooled"), output=str(home / "pooled-text"))


class TestBackfill:
    def test_every_day_has_a_run_and_its_own_text(self, backfilled: Backfilled) -> None:
        assert [run.finish(1) for run in backfilled.runs] == ["success"] * len(DAYS)
        assert {day: backfilled.archive.texts(day) for day in DAYS} == {day: [said(day)] for day in DAYS}
        assert backfilled.spent == len(DAYS)

    def test_runs_have_no_logical_date(self, backfilled: Backfilled) -> None:
        run = backfilled.runs[0]
        row = run.api.get(f"dags/{run.dag_id}/dagRuns/{run.run_id}")
        assert (row["logical_date"], row["partition_key"]) == (None, DAYS[0])

    def test_the_manifest_of_each_day_names_its_recordings(self, backfilled: Backfilled) -> None:
        for day in DAYS:
            [row] = backfilled.archive.manifest(day)
            assert (row["key"], row["status"], row["new"]) == ("call.wav", "completed", True)
            assert row["uri"] == str(backfilled.archive.folder / day / "call.wav")

    def test_every_day_is_described(self, backfilled: Backfilled) -> None:
        for day in DAYS:
            made = backfilled.archive.day(day)
            assert (made["day"], made["recordings"], made["failed"]) == (day, 1, 0)
            assert made["words"] == len(said(day).split())
            assert topic(day) in {each["phrase"] for each in made["phrases"]}

    def test_every_week_has_the_days_that_are_there(self, backfilled: Backfilled) -> None:
        for key in {monday(day) for day in DAYS}:
            made, there = backfilled.archive.week(key), [day for day in days(key, 7) if day in DAYS]
            assert (list(made["days"]), made["recordings"]) == (there, len(there))
            assert made["missing"] == [day for day in days(key, 7) if day not in DAYS]
            assert made["words"] == sum(len(said(day).split()) for day in there)
            assert {topic(day) for day in there} <= {each["phrase"] for each in made["phrases"]}


# Airflow calls a backfill active for up to half a minute after its end. Other tests take their time meanwhile.


def test_a_repeated_backfill_has_nothing_to_run(backfilled: Backfilled) -> None:
    before = backfilled.submissions()
    assert backfilled.archive.backfill(DAYS[0], DAYS[-1]) == []
    assert backfilled.submissions() == before


class TestKeys:
    @pytest.mark.parametrize(
        ("dag_id", "key", "why"),
        [
            (DAG, None, "no partition key"),
            (DAG, "2025-9-1", "'2025-9-1' is no day"),
            (DAY_DAG, None, "no partition key"),
            (DAY_DAG, "../x", "'../x' is no day"),
            (WEEK_DAG, None, "no partition key"),
            (WEEK_DAG, "2025-09-02", "no Monday"),
        ],
    )
    def test_a_run_without_a_good_key_says_what_to_give_and_touches_nothing(
        self, backfilled: Backfilled, dag_id: str, key: str | None, why: str
    ) -> None:
        before, files = backfilled.submissions(), backfilled.archive.files()
        run = backfilled.archive.start(dag_id, key)
        [failed] = [task for task in run.tasks() if task.state == "failed"]
        error = run.error(failed.task_id)
        assert failed.try_number == 1
        assert why in error
        assert "Partition Key of the trigger form" in error
        assert "`partition_key` over REST" in error
        assert ("airflow backfill create" in error) == (dag_id != WEEK_DAG)
        assert backfilled.archive.files() == files
        assert backfilled.submissions() == before

    @pytest.mark.parametrize("key", ["None", "../x", "2025-09-31", ""])
    def test_airflow_refuses_what_is_no_day_at_all(self, backfilled: Backfilled, key: str) -> None:
        with pytest.raises(AirflowApiError) as refused:
            backfilled.archive.start(DAG, key)
        assert refused.value.status in (400, 422)

    def test_a_day_without_recordings_is_skipped(self, backfilled: Backfilled) -> None:
        run = backfilled.archive.start(DAG, "2025-12-25")
        assert run.states() == {"find": "skipped", "transcribe": "skipped"}
        assert not (backfilled.archive.text / "2025-12-25").exists()


def test_done_again_without_a_change_it_spends_nothing_and_leaves_the_same(backfilled: Backfilled) -> None:
    before, files = backfilled.submissions(), backfilled.archive.files()
    runs = backfilled.archive.backfill(DAYS[0], DAYS[3], "completed")
    assert [run.finish(1) for run in runs] == ["success"] * 4
    assert backfilled.submissions() == before
    assert backfilled.archive.files() == files
    assert [row["new"] for day in DAYS[:4] for row in backfilled.archive.manifest(day)] == [False] * 4


@pytest.mark.speech
def test_days_of_real_speech_become_the_text_of_the_right_day(backfilled: Backfilled, tmp_path: Path) -> None:
    archive = Archive(backfilled.world, tmp_path / "archive", tmp_path / "text")
    for number, day in enumerate(DAYS[:2]):
        _cut(archive.folder / day / "call.wav", number * 12, 12)
    archive.configure(limits={"first_poll": 5})
    before = len(transcripts(archive.world.whisper))
    for day in (*DAYS[:2], DAYS[0]):
        assert archive.start(DAG, day).finish(1) == "success"
    archive.settle()
    assert len(transcripts(archive.world.whisper)) == before + 2
    [[first], [second]] = [archive.texts(day) for day in DAYS[:2]]
    assert "claim" in first.lower()
    assert "pipe" in first.lower()
    assert "claim" not in second.lower()
    assert archive.week(DAYS[0])["words"] == len(first.split()) + len(second.split()) > 20


def test_a_day_in_a_bucket_goes_to_a_bucket(backfilled: Backfilled) -> None:
    world, archive, day = backfilled.world, backfilled.archive, DAYS[3]
    world.storage.put(f"archive/{day}/call.wav", (archive.folder / day / "call.wav").read_bytes())
    place = f"s3://storage@{BUCKET}"
    archive.configure(**SETTINGS, archive=f"{place}/archive", output_path=f"{place}/archive-text")
    run = archive.start(DAG, day)
    week = "archive-text/weeks/2025-09-01.json"
    wait_until(lambda: world.storage.keys(week), "the week is described", 90)
    assert run.result("transcribe")["manifest"].startswith(f"{place}/archive-text/{day}/manifest.")
    [text] = [key for key in world.storage.keys(f"archive-text/{day}/") if key.endswith(".txt")]
    assert world.storage.get(text).decode().strip() == said(day)
    assert json.loads(world.storage.get(f"archive-text/{day}/day.json"))["recordings"] == 1
    assert list(json.loads(world.storage.get(week))["days"]) == [day]
    assert archive.start(DAG, "2025-12-25").states() == {"find": "skipped", "transcribe": "skipped"}


def test_another_config_is_transcribed_again_on_the_days_that_are_done_again(backfilled: Backfilled) -> None:
    archive, before = backfilled.archive, backfilled.submissions()
    archive.configure(**SETTINGS, config={"format_text": False})
    archive.backfill(DAYS[0], DAYS[1], "completed")
    assert backfilled.submissions() == before + 2
    new = {day for day in DAYS for row in archive.manifest(day) if row["new"]}
    assert new == {*DAYS[:2], *DAYS[4:]}
    assert archive.week(DAYS[0])["missing"] == []


def test_a_pool_that_counts_deferred_tasks_keeps_the_accounts_concurrency(backfilled: Backfilled) -> None:
    jobs = {row.id: row for row in transcripts(backfilled.world.echo)}
    manifests = [backfilled.pooled_text / name / f"manifest.pooled.{name}.jsonl" for name in POOLED]
    ours = [jobs[json.loads(manifest.read_text())["transcript_id"]] for manifest in manifests]
    [first, second] = sorted(ours, key=lambda job: job.created)
    assert first.completed is not None
    assert second.created >= first.completed


def _cut(path: Path, start_s: int, length_s: int) -> None:
    """Write some seconds of a recording of real speech."""
    path.parent.mkdir(parents=True)
    with wave.open(str(RECORDINGS / CALL)) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        whole.setpos(start_s * whole.getframerate())
        part.writeframes(whole.readframes(length_s * whole.getframerate()))
