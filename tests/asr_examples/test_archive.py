from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import transcribe_archive
from airflow.sdk import DAG, ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from asr_examples import archive, archive_text

from airflow_asr.jobs.manifest import ManifestRow
from airflow_asr.operators.assemblyai import AssemblyAITranscribeBatchOperator

DAY = date(2026, 9, 1)
WEEK = [date(2026, 8, 31), *(date(2026, 9, day) for day in range(1, 7))]


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the Variable says; tests add to it. Airflow reads Variables from the environment, too."""
    said = {"archive": f"{tmp_path}/calls", "output_path": f"{tmp_path}/text"}

    class Said(dict[str, Any]):
        def __setitem__(self, name: str, value: Any) -> None:
            super().__setitem__(name, value)
            monkeypatch.setenv("AIRFLOW_VAR_TRANSCRIBE_ARCHIVE", json.dumps(self))

    settings = Said()
    for name, value in said.items():
        settings[name] = value
    return settings


@pytest.fixture
def run(variable: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The context of a run; tests change it."""
    context: dict[str, Any] = {"partition_key": "2026-09-01"}
    monkeypatch.setattr(transcribe_archive, "get_current_context", lambda: context)
    return context


def row(folder: Path, name: str, text: str | None, **more: Any) -> ManifestRow:
    """Write a recording's text, and return its row."""
    written = folder / f"{name}.txt"
    if text is not None:
        folder.mkdir(parents=True, exist_ok=True)
        written.write_text(f"{text}\n")
    return ManifestRow(
        key=name,
        uri=f"/calls/{name}",
        fingerprint="f",
        status="completed" if text is not None else "failed",
        new=True,
        kind=None if text is not None else "input",
        error=None if text is not None else "No audio in it.",
        transcript_id="t",
        seconds=None if text is None else 30.0,
        bytes=1,
        language=more.get("language", "en_us") if text is not None else None,
        confidence=0.9,
        model="m",
        words=None if text is None else len(text.split()),
        outputs={"txt": str(written)} if text is not None else {},
        sizes={},
        cost=None,
    )


def manifest(folder: Path, *rows: ManifestRow) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(each) + "\n" for each in rows)
    (folder / "manifest.transcribe_archive.transcribe.jsonl").write_text(lines)


class TestKeys:
    def test_a_day_is_a_day(self) -> None:
        assert archive.day_of("2024-02-29") == date(2024, 2, 29)

    @pytest.mark.parametrize(
        "key",
        [
            None,
            "",
            "None",
            "../x",
            "2026-9-1",
            "20260901",
            "2026-09-31",
            "2026-09-01 ",
            "2026-09-01T00:00:00",
            "２026-09-01",
        ],
    )
    def test_what_is_no_day_is_refused_with_what_to_give(self, key: str | None) -> None:
        with pytest.raises(ValueError, match=r"a day as 2026-09-01: .*trigger form.* REST.*airflow backfill create"):
            archive.day_of(key)

    def test_a_week_is_its_seven_days(self) -> None:
        assert archive.week_of("2026-08-31") == WEEK

    @pytest.mark.parametrize("key", [None, "2026-09-01", "2026-W36"])
    def test_what_is_no_monday_is_refused_with_what_to_give(self, key: str | None) -> None:
        with pytest.raises(ValueError, match="a Monday as 2026-08-31"):
            archive.week_of(key)


class TestSettings:
    def test_what_the_variable_does_not_say_has_a_default(self, variable: dict[str, Any]) -> None:
        variable["config"] = None
        variable["max_failures"] = 0.05
        assert archive.settings() == {
            **variable,
            "config": {},
            "limits": {},
            "budget": {},
            "assemblyai_conn_id": "assemblyai_default",
        }

    def test_without_a_variable_nothing_is_guessed(self) -> None:
        with pytest.raises(LookupError, match=r"no Variable transcribe_archive to be read .*Set it, as"):
            archive.settings()

    def test_a_name_that_nobody_reads_is_refused(self, variable: dict[str, Any]) -> None:
        variable["ouput_path"] = "/data"
        with pytest.raises(ValueError, match=r"has no ouput_path\. There are: archive, output_path"):
            archive.settings()

    @pytest.mark.parametrize("name", ["archive", "output_path"])
    def test_both_places_must_be_said(self, name: str, variable: dict[str, Any]) -> None:
        variable[name] = None
        with pytest.raises(ValueError, match=f"does not say {name}"):
            archive.settings()

    @pytest.mark.parametrize("value", ["", "{", "[]", '"/data"'])
    def test_what_is_no_object_is_refused(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_VAR_TRANSCRIBE_ARCHIVE", value)
        with pytest.raises(ValueError, match="is no JSON object"):
            archive.settings()


class TestFind:
    def test_the_operator_gets_the_days_folder_and_the_settings(
        self, run: dict[str, Any], variable: dict[str, Any], tmp_path: Path
    ) -> None:
        variable["budget"] = {"max_audio_hours": 100}
        (tmp_path / "calls" / "2026-09-01").mkdir(parents=True)
        (tmp_path / "calls" / "2026-09-01" / "a.wav").touch()
        found = transcribe_archive.find.function()
        assert found["audio"] == f"{tmp_path}/calls/2026-09-01"
        assert found["output_path"] == f"{tmp_path}/text"
        assert found["budget"] == {"max_audio_hours": 100}
        assert "archive" not in found

    @pytest.mark.parametrize("empty", [True, False])
    def test_a_day_without_recordings_is_skipped(self, empty: bool, run: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "calls" / "2026-09-02").mkdir(parents=True)
        if empty:
            (tmp_path / "calls" / "2026-09-01").mkdir()
        with pytest.raises(AirflowSkipException, match="2026-09-01"):
            transcribe_archive.find.function()

    @pytest.mark.parametrize("empty", [True, False])
    def test_an_archive_that_is_not_there_is_no_day_off(self, empty: bool, run: dict[str, Any], tmp_path: Path) -> None:
        if empty:
            (tmp_path / "calls").mkdir()
        with pytest.raises(AirflowFailException, match=r"no archive at .*calls.*The Variable transcribe_archive"):
            transcribe_archive.find.function()

    @pytest.mark.parametrize("key", [None, "2026-9-1"])
    def test_without_a_good_key_it_fails_at_once(self, key: str | None, run: dict[str, Any]) -> None:
        run["partition_key"] = key
        with pytest.raises(AirflowFailException, match="partition key"):
            transcribe_archive.find.function()


class TestDay:
    def test_it_adds_up_the_texts_and_counts_what_has_none(self, tmp_path: Path) -> None:
        rows = [
            row(tmp_path, "a", "The burst pipe ruined the kitchen floor."),
            row(tmp_path, "b", "Another burst pipe, in the cellar."),
            row(tmp_path, "c", "Der Zug nach Hamburg ist ausgefallen.", language="de"),
            row(tmp_path, "d", None),
        ]
        day = archive_text.describe_day(DAY, rows)
        assert (day["day"], day["recordings"], day["failed"]) == ("2026-09-01", 3, 1)
        assert (day["words"], day["minutes"]) == (7 + 6 + 6, 1.5)
        assert day["languages"] == {"de": 1, "en_us": 2}
        assert day["phrases"][0] == {"phrase": "burst pipe", "recordings": 2}

    def test_one_text_is_read_at_a_time(self, tmp_path: Path) -> None:
        def rows() -> Any:
            for name in ("a", "b", "c"):
                yield row(tmp_path, name, f"The pipe number {name} burst.")
                (tmp_path / f"{name}.txt").unlink()  # It has been read before the next row is asked for.

        assert archive_text.describe_day(DAY, rows())["recordings"] == 3

    def test_a_recording_in_which_nobody_speaks_counts(self, tmp_path: Path) -> None:
        day = archive_text.describe_day(DAY, [row(tmp_path, "a", "")])
        assert (day["recordings"], day["words"], day["phrases"]) == (1, 0, [])

    def test_the_task_writes_it_beside_the_texts_and_again_the_same(self, run: dict[str, Any], tmp_path: Path) -> None:
        folder = tmp_path / "text" / "2026-09-01"
        manifest(folder, row(folder, "a", "The burst pipe ruined the kitchen floor."))
        file = Path(transcribe_archive.describe_day.function())
        assert file == folder / "day.json"
        before = file.read_bytes()
        assert json.loads(before)["words"] == 7
        transcribe_archive.describe_day.function()
        assert file.read_bytes() == before

    def test_a_day_that_was_not_transcribed_says_so(self, run: dict[str, Any]) -> None:
        with pytest.raises(AirflowFailException, match="2026-09-01 has no manifest"):
            transcribe_archive.describe_day.function()


class TestWeek:
    def test_it_puts_together_the_days_that_are_there(self, tmp_path: Path) -> None:
        text = "The burst pipe ruined the kitchen floor."
        days = {day: archive_text.describe_day(day, [row(tmp_path, str(day), text)]) for day in WEEK[:3]}
        week = archive_text.describe_week({day: days.get(day) for day in WEEK})
        assert (week["week"], list(week["days"])) == ("2026-08-31", ["2026-08-31", "2026-09-01", "2026-09-02"])
        assert week["missing"] == ["2026-09-03", "2026-09-04", "2026-09-05", "2026-09-06"]
        assert (week["recordings"], week["words"], week["minutes"]) == (3, 21, 1.5)
        assert {"phrase": "burst pipe", "recordings": 3} in week["phrases"]

    def test_the_task_reads_what_the_days_left(self, run: dict[str, Any], tmp_path: Path) -> None:
        folder = tmp_path / "text" / "2026-09-01"
        manifest(folder, row(folder, "a", "The burst pipe ruined the kitchen floor."))
        transcribe_archive.describe_day.function()
        run["partition_key"] = "2026-08-31"
        file = Path(transcribe_archive.describe_week.function())
        assert file == tmp_path / "text" / "weeks" / "2026-08-31.json"
        assert json.loads(file.read_bytes())["days"].keys() == {"2026-09-01"}

    def test_a_week_without_a_day_says_so(self, run: dict[str, Any], tmp_path: Path) -> None:
        run["partition_key"] = "2026-08-31"
        with pytest.raises(AirflowFailException, match="no day of the week of 2026-08-31"):
            transcribe_archive.describe_week.function()
        assert not (tmp_path / "text").exists()


class TestDags:
    @pytest.fixture
    def dag(self) -> DAG:
        return transcribe_archive.transcribe_archive()

    def test_nothing_is_spent_before_somebody_lets_it_run(self, dag: DAG) -> None:
        assert dag.is_paused_upon_creation
        assert not dag.catchup

    def test_it_waits_without_a_worker_slot_and_announces_the_day(self, dag: DAG) -> None:
        transcribe = dag.get_task("transcribe")
        assert isinstance(transcribe, AssemblyAITranscribeBatchOperator)
        assert transcribe.deferrable
        assert transcribe.outlets == [transcribe_archive.TRANSCRIPTS]

    def test_only_one_run_writes_a_week(self) -> None:
        assert transcribe_archive.archive_week().max_active_runs == 1

    def test_the_file_of_a_day_is_found_again(self, tmp_path: Path) -> None:
        assert archive_text.read_day(ObjectStoragePath(str(tmp_path)), DAY) is None
