from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from asr_examples.call_recordings import find_recordings, recording

from tests.object_storage import BUCKET, ObjectStorage

ENDINGS = [".wav", ".mp3"]


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    with ObjectStorage() as storage:
        yield storage


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


class TestFolder:
    def test_recordings_are_found_in_the_folders_below_too_whatever_their_names(self, tmp_path: Path) -> None:
        names = ["a b.wav", "b.MP3", "night/a b.wav", "north/süd/电话 #1?%20.mp3"]
        make(tmp_path, *names, "notes.txt", "b.mp3.json", "wav")
        assert find_recordings(str(tmp_path), ENDINGS) == [f"{tmp_path}/{name}" for name in names]

    def test_a_folder_can_be_named_as_a_uri_and_with_a_slash(self, tmp_path: Path) -> None:
        make(tmp_path, "a.wav")
        assert find_recordings(f"file://{tmp_path}", ENDINGS) == [f"{tmp_path}/a.wav"]
        assert find_recordings(f"{tmp_path}/", ENDINGS) == [f"{tmp_path}/a.wav"]

    def test_hidden_files_and_folders_are_no_recordings(self, tmp_path: Path) -> None:
        make(tmp_path, "a.wav", "._a.wav", ".part.wav", "old.wav/b.mp3")
        assert find_recordings(str(tmp_path), ENDINGS) == [f"{tmp_path}/a.wav", f"{tmp_path}/old.wav/b.mp3"]

    def test_a_name_that_cannot_be_handed_over_is_named(self, tmp_path: Path) -> None:
        make(tmp_path, "a.wav", "caf\udce9.wav")
        with pytest.raises(ValueError, match=r"caf\\udce9\.wav is not in UTF-8"):
            find_recordings(str(tmp_path), ENDINGS)

    @pytest.mark.parametrize("place", ["", "nowhere"])
    def test_no_recordings_are_no_success(self, tmp_path: Path, place: str) -> None:
        make(tmp_path, "a.txt")
        with pytest.raises(FileNotFoundError, match=r"There is no recording in .*: no file .* ends in \.wav, \.mp3\."):
            find_recordings(str(tmp_path / place), ENDINGS)


class TestBucket:
    @pytest.fixture(autouse=True)
    def connection(self, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.io import store

        monkeypatch.setenv("AIRFLOW_CONN_CALLS", storage.connection())
        monkeypatch.setattr(store, "_STORE_CACHE", {})

    @pytest.mark.parametrize("folder", ["june", "june/"])
    def test_recordings_keep_their_connection(self, storage: ObjectStorage, folder: str) -> None:
        for key in ("june/a b.wav", "june/two/ü.mp3", "june/a.json", "june-2/c.wav", "june/two/"):
            storage.put(key, b"x")
        assert find_recordings(f"s3://calls@{BUCKET}/{folder}", ENDINGS) == [
            f"s3://calls@{BUCKET}/june/a b.wav",
            f"s3://calls@{BUCKET}/june/two/ü.mp3",
        ]

    def test_a_missing_connection_is_not_replaced_by_the_machines_own_rights(self) -> None:
        with pytest.raises(AirflowNotFoundException, match="calls_typo"):
            find_recordings(f"s3://calls_typo@{BUCKET}/june", ENDINGS)


class TestRecording:
    def test_one_name_in_two_folders_is_two_calls(self) -> None:
        first, second = recording("/june/a b.wav"), recording("/july/a b.wav")
        assert first.file == second.file == "a b.wav"
        assert first.call_id != second.call_id
        assert first == recording("/june/a b.wav")

    def test_a_call_stays_the_same_if_its_connection_gets_another_name(self) -> None:
        assert recording("s3://old@bucket/a.wav") == recording("s3://new@bucket/a.wav")
        assert recording("s3://old@bucket/a.wav").audio == "s3://bucket/a.wav"
