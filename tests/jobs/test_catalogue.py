"""What an output folder holds already: known from rows, from receipts and from one listing, never from the files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_asr._airflow import open_path
from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import OutputError
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.catalogue import Catalogue
from airflow_asr.jobs.manifest import ManifestRow
from airflow_asr.jobs.outputs import Outputs
from airflow_asr.jobs.results import summarise
from tests.object_storage import BUCKET, ObjectStorage

FP, OTHER_FP = "f" * 64, "e" * 64
SAID = Transcript({"id": "t-1", "status": "completed", "text": "Yes.", "audio_duration": 61, "language_code": "en"})


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(tmp_path / "text")
        return
    storage: ObjectStorage = request.getfixturevalue("storage")
    yield f"s3://calls@{BUCKET}/text"
    for key in storage.keys(""):
        storage.client.delete_object(Bucket=BUCKET, Key=key)


def write(folder: str, base: str, *formats: str, fp: str = FP) -> None:
    """Write outputs and a receipt as a task for this recording alone does."""
    outputs = Outputs(open_path(folder), base, formats or ("json", "txt"))
    with AssemblyAIClient("key-0123456789", base_url="http://127.0.0.1:9") as client:
        outputs.write(client, SAID, summarise(SAID, audio=f"/calls/{base}", outputs=outputs.uris()), fp=fp)


def catalogue(folder: str, *formats: str) -> Catalogue:
    return Catalogue(open_path(folder), formats or ("json", "txt"))


def row(folder: str, base: str, **fields: Any) -> ManifestRow:
    """Return the row that a batch would have made of what is there."""
    known: dict[str, Any] = dict.fromkeys(ManifestRow.__annotations__)
    known |= {"key": base, "uri": f"/calls/{base}", "fingerprint": FP, "status": "completed", "new": True}
    known |= {"transcript_id": "t-9", "seconds": 61.0, "bytes": 7}
    paths = {each: open_path(f"{folder}/{base}.{each}") for each in ("json", "txt")}
    known["outputs"] = {each: str(path) for each, path in paths.items()}
    known["sizes"] = {each: len(path.read_bytes()) if path.exists() else 0 for each, path in paths.items()}
    return ManifestRow(**{**known, **fields})  # type: ignore[typeddict-item]


def test_a_folder_that_is_not_there_holds_nothing(folder: str) -> None:
    with catalogue(folder) as known:
        assert known.done("a", FP) is None
        assert known.hopeless(FP) is None
        assert known.seconds("/calls/a", 7) is None


def test_what_a_task_for_one_recording_wrote_is_done(folder: str) -> None:
    write(folder, "a")
    with catalogue(folder) as known:
        found = known.done("a", FP)
        assert found is not None
        assert (found["status"], found["new"], found["transcript_id"], found["seconds"]) == (
            *("completed", False, "t-1"),
            61.0,
        )
        assert found["outputs"]["txt"] == str(open_path(f"{folder}/a.txt"))
        assert found["sizes"] == row(folder, "a")["sizes"]
        assert known.done("a", OTHER_FP) is None
        assert known.done("b", FP) is None


@pytest.mark.parametrize("learnt", [False, True], ids=["receipt", "row"])
@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_an_output_that_is_not_what_was_written_is_not_there(folder: str, learnt: bool, damage: str) -> None:
    write(folder, "a")
    earlier = row(folder, "a")
    text = open_path(f"{folder}/a.txt")
    text.fs.rm_file(text.path) if damage == "missing" else text.fs.pipe_file(text.path, b"Y")
    with catalogue(folder) as known:
        known.learn([earlier] if learnt else [])
        assert known.done("a", FP) is None
    with catalogue(folder, "json") as known:
        assert known.done("a", FP) is not None


def test_a_format_that_was_not_wanted_before_is_not_there(folder: str) -> None:
    write(folder, "a", "txt")
    with catalogue(folder, "txt", "srt") as known:
        assert known.done("a", FP) is None


def test_what_another_task_added_since_the_row_counts(folder: str) -> None:
    write(folder, "a", "txt")
    earlier = row(folder, "a", outputs={"txt": "x"}, sizes={"txt": 5})
    write(folder, "a", "json", "txt")
    with catalogue(folder) as known:
        known.learn([earlier])
        found = known.done("a", FP)
    assert found is not None
    assert found["outputs"].keys() == {"json", "txt"}


@pytest.mark.parametrize("kind", ["input", "policy", "url", "service", None])
def test_only_a_failure_of_the_recording_itself_is_hopeless(folder: str, kind: str | None) -> None:
    with catalogue(folder) as known:
        known.learn([row(folder, "a", status="failed", kind=kind, error="It is so.")])
        found = known.hopeless(FP)
        assert (found is not None) is (kind in ("input", "policy"))
        assert found is None or (found["new"], found["error"]) == (False, "It is so.")
        assert known.done("a", FP) is None
        known.learn([row(folder, "a")])
        assert known.hopeless(FP) is None


def test_a_length_is_known_of_the_same_recording_only(folder: str) -> None:
    with catalogue(folder) as known:
        known.learn([row(folder, "a", seconds=60.0), row(folder, "a", seconds=61.0)])
        assert known.seconds("/calls/a", 7) == 61.0
        assert known.seconds("/calls/a", 8) is None
        assert known.seconds("/calls/b", 7) is None
        known.learn([row(folder, "p", status="planned", seconds=30.0)])
        assert known.seconds("/calls/p", 7) is None  # That was a guess.
        known.learn([row(folder, "u", uri="https://h.example/u.wav", bytes=None, seconds=5.0)])
        assert known.seconds("https://h.example/u.wav", None) == 5.0


@pytest.mark.parametrize("broken", [b"", b"{}", b"\xff", b'{"v": 99}', b"[" * 100_000])
def test_a_broken_receipt_is_none(folder: str, broken: bytes) -> None:
    write(folder, "a")
    path = open_path(f"{folder}/_asr/a.json")
    path.fs.pipe_file(path.path, broken)
    with catalogue(folder) as known:
        assert known.done("a", FP) is None


def test_names_of_others_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    for name in (b"\xff.txt", b"line\n.txt", b"'; DROP TABLE files; --"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    write(str(tmp_path), "a")
    odd = row(str(tmp_path), "\udcff")
    with catalogue(str(tmp_path)) as known:
        assert known.done("a", FP) is not None
        known.learn([{**odd, "fingerprint": OTHER_FP}])
        assert known.seconds("/calls/\udcff", 7) == 61.0


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a file")
    with pytest.raises(OutputError, match="could not be read"), catalogue(str(tmp_path / "text")):
        pass


def test_storage_that_refuses_is_said(storage: ObjectStorage) -> None:
    with storage.strict(), pytest.raises(OutputError, match="could not be read"), catalogue(f"s3://calls@{BUCKET}/x"):
        pass


def test_a_folder_that_a_batch_filled_takes_a_request_for_a_page(
    storage: ObjectStorage, requests_made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_asr.jobs.listing._PAGE", 10)
    folder = f"s3://calls@{BUCKET}/filled"
    rows = []
    for number in range(12):
        for name, data in ((f"{number}.json", b"{}"), (f"{number}.txt", b"Yes."), (f"_asr/{number}.json", b"{}")):
            storage.put(f"filled/{name}", data)
        sizes = {"json": 2, "txt": 4}
        rows.append(row(folder, f"{number}", fingerprint=f"{number}", outputs=dict.fromkeys(sizes, "x"), sizes=sizes))
        storage.put(f"filled/2026-11-{number:02}/a.txt", b"of another day")
        storage.put(f"filled/_asr/batch/{number}", b"of a batch")
    requests_made.clear()
    with catalogue(folder) as known:
        known.learn(json.loads(json.dumps(rows)))
        assert all(known.done(f"{number}", f"{number}") for number in range(12))
    # 24 files and 12 folders beside them, and 12 receipts and a folder beside them.
    assert requests_made == ["list_objects_v2"] * (4 + 2)
