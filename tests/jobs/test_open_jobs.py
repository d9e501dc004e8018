"""What one run tells another through the folder that both write to, on disk and in object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from airflow_asr._airflow import open_path
from airflow_asr.api.errors import OutputError
from airflow_asr.jobs.open_jobs import OpenJobs
from airflow_asr.jobs.records import RECORD_VERSION, SubmissionRecord
from tests.object_storage import BUCKET

FP = "f" * 64


def record(**fields: Any) -> SubmissionRecord:
    sent = {"v": RECORD_VERSION, "fp": FP, "audio": "a.wav", "url_sha256": "0" * 64, "intent_at": 1.0, "prior": []}
    kept = {"shared_url": False, "account": "me", "upload_url": "https://cdn.example/SECRET", **fields}
    return cast(SubmissionRecord, {**sent, **kept})


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, as a user names it; new for each test."""
    if request.param == "disk":
        return str(tmp_path / "_asr")
    request.getfixturevalue("storage")
    return f"s3://calls@{BUCKET}/{tmp_path.name}/_asr"


def jobs(place: str, owner: str = "") -> OpenJobs:
    return OpenJobs(open_path(place), owner)


def test_in_an_empty_folder_nothing_is_under_way(place: str) -> None:
    assert jobs(place).of(FP) == []


def test_another_run_sees_at_once_what_is_under_way_and_when_it_is_over(place: str) -> None:
    ours, theirs = jobs(place, "ours"), jobs(place, "theirs")
    assert theirs.of(FP) == []
    name = ours.announce(record())
    [seen] = theirs.of(FP)
    assert (seen.name, seen.record.get("id"), seen.ours) == (name, None, False)
    ours.keep(name, record(id="t-1"))
    [seen] = theirs.of(FP)
    assert (seen.name, seen.record.get("id")) == (name, "t-1")
    ours.drop(name)
    assert theirs.of(FP) == []
    ours.drop(name)


def test_a_task_instance_knows_its_own_in_every_try(place: str) -> None:
    jobs(place, "ours").announce(record())
    assert [job.ours for job in jobs(place, "ours").of(FP)] == [True]


def test_the_oldest_comes_first_and_other_inputs_are_left_out(place: str) -> None:
    folder = jobs(place)
    names = [folder.announce(record(intent_at=at)) for at in (3.0, 1.0, 2.0)]
    folder.announce(record(fp="e" * 64))
    assert [job.name for job in folder.of(FP)] == [names[1], names[2], names[0]]


def test_at_the_end_what_led_to_the_job_is_forgotten_and_the_rest_is_not(place: str) -> None:
    ours, theirs = jobs(place, "ours"), jobs(place, "theirs")
    ours.announce(record(url_sha256="1" * 64))
    for job_id in ("t-1", "t-2"):
        theirs.keep(theirs.announce(record(url_sha256=job_id)), record(id=job_id, url_sha256=job_id))
    unknown = theirs.announce(record(url_sha256="2" * 64))
    ours.end(record(id="t-2", prior=["t-1"]))
    assert [job.name for job in theirs.of(FP)] == [unknown]


def test_what_grants_access_is_not_written(place: str) -> None:
    folder = jobs(place)
    name = folder.announce(record())
    data = (open_path(place) / "open" / f"{name}.intent.json").read_text()
    assert "SECRET" not in data
    assert "://" not in data


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"v": 99, "fp": "x"}', b"\xff\xfe"])
def test_what_cannot_be_read_may_stand_for_a_paid_job(place: str, data: bytes) -> None:
    folder = jobs(place)
    path = open_path(place) / "open" / f"{folder.announce(record())}.intent.json"
    path.fs.pipe_file(path.path, data)
    with pytest.raises(OutputError, match="nobody can tell whether a job is under way"):
        folder.of(FP)


def test_without_a_folder_nothing_is_known_and_nothing_is_written() -> None:
    nowhere = OpenJobs(None, "ours")
    name = nowhere.announce(record())
    nowhere.keep(name, record(id="t-1"))
    assert nowhere.of(FP) == []
    nowhere.drop(name)
    nowhere.end(record())
