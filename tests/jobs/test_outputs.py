"""Names, files, receipts and summaries, also where they are long or in scripts that JSON writes long."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from airflow_asr._airflow import open_path
from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import OutputError, RequestError
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.files import write_file
from airflow_asr.jobs.names import output_name, safe_name
from airflow_asr.jobs.outputs import EXTENSIONS, Outputs, checked_formats, output_folder
from airflow_asr.jobs.results import summarise
from airflow_asr.local.testing import LocalServer, scripted_audio

KEY = "local-key-0123456789"


@pytest.fixture(scope="module")
def client() -> Iterator[AssemblyAIClient]:
    with LocalServer(api_key=KEY) as server, AssemblyAIClient(KEY, base_url=server.url) as client:
        yield client


def transcribed(client: AssemblyAIClient, text: str) -> Transcript:
    upload = client.upload(iter([scripted_audio(text, process_s=0)]))
    transcript = client.submit(upload)
    while not transcript.ended:
        transcript = client.get(transcript.id)
    assert transcript.error is None
    return transcript


def outputs(folder: Path, *formats: str) -> Outputs:
    return Outputs(open_path(str(folder)), "call.wav.0123456789", formats or tuple(EXTENSIONS))


# Long transcripts, any script ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sentence", ["This is a sentence.", "这是 一个 很长 的 句子。", "هذه جملة طويلة جدا.", "Hello 👩‍👩‍👧‍👦 you 🎉."]
)
def test_thirty_thousand_words_go_through_every_format_and_leave_a_small_summary(
    client: AssemblyAIClient, tmp_path: Path, sentence: str
) -> None:
    words = len(sentence.split())
    text = " ".join([sentence] * (30_000 // words))
    transcript = transcribed(client, text)
    place = outputs(tmp_path)
    summary = summarise(transcript, audio="/data/call.wav", outputs=place.uris())
    place.write(client, transcript, summary, fp="f" * 64)
    assert len(json.dumps(summary)) < 16 * 1024
    assert summary["text"] is None
    assert summary["word_count"] == len(text.split())
    files = {name: Path(uri.removeprefix("file://")) for name, uri in summary["outputs"].items()}
    assert files["txt"].read_text() == f"{text}\n"
    assert Transcript.from_json(files["json"].read_bytes()).text == text
    assert sum(len(each["words"]) for each in json.loads(files["sentences"].read_text())["sentences"]) == len(
        text.split()
    )
    assert json.loads(files["paragraphs"].read_text())["paragraphs"]
    for captions in (files["srt"], files["vtt"]):
        spoken = [line for line in captions.read_text().splitlines() if sentence.split()[0] in line]
        assert len(" ".join(spoken)) > len(text) // 4


def test_the_reply_is_kept_whole_but_for_the_signature_of_its_audio(client: AssemblyAIClient, tmp_path: Path) -> None:
    uploaded = transcribed(client, "Nothing is hidden.")
    signed = Transcript({**uploaded.raw, "audio_url": "https://bucket.example/call.wav?X-Amz-Signature=abc&x=1"})
    for transcript, url in ((uploaded, uploaded.audio_url), (signed, "https://bucket.example/call.wav?[hidden]")):
        place = outputs(tmp_path, "json")
        summary = summarise(transcript, audio="/data/call.wav", outputs=place.uris())
        place.write(client, transcript, summary, fp="f" * 64)
        kept = json.loads(Path(summary["outputs"]["json"].removeprefix("file://")).read_bytes())
        assert kept == {**transcript.raw, "audio_url": url}


@pytest.mark.parametrize("letter", ["a", "é", "字", "ع", "👩", "\x01", '"'])
def test_the_summary_is_small_with_the_longest_names_that_storage_allows(letter: str) -> None:
    key = letter * (1024 // len(letter.encode()))
    folder = output_folder("memory://bucket/" + letter * (1400 // (len(json.dumps(letter)) - 2)), UPath)
    uris = Outputs(folder, output_name(key, key), tuple(EXTENSIONS)).uris()
    transcript = Transcript({"id": "t" * 36, "status": "completed", "text": letter * 9000})
    summary = summarise(transcript, audio=f"s3://bucket/{key}", outputs=uris)
    assert len(json.dumps(summary)) < 16 * 1024
    assert summary["text"] is None


def test_a_folder_whose_name_would_not_fit_into_a_summary_is_refused() -> None:
    with pytest.raises(RequestError, match="too long"):
        output_folder("memory://bucket/" + "字" * 300, UPath)


@given(st.integers(0, 9000), st.sampled_from("aé字👩"))
def test_the_text_is_in_the_summary_exactly_as_long_as_it_fits(length: int, letter: str) -> None:
    transcript = Transcript({"id": "t-1", "status": "completed", "text": letter * length})
    summary = summarise(transcript, inline_text_bytes=4096)
    whole = len(json.dumps({**summary, "text": letter * length}))
    assert (summary["text"] is not None) is (whole <= 4096)
    assert len(json.dumps(summary)) <= 4096


# Names ---------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=300))
def test_a_name_is_safe_in_every_storage(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe.encode()) <= 160
    assert not safe.startswith(".")
    assert not set(safe) & set('/\\:*?"<>|#% \n\r\t\0')


@given(st.text(max_size=50), st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_two_places_never_share_a_name(name: str, one: str, other: str) -> None:
    assert (output_name(name, one) == output_name(name, other)) is (one == other)


def test_no_two_formats_share_a_file(tmp_path: Path) -> None:
    assert len(set(outputs(tmp_path).uris().values())) == len(EXTENSIONS)


def test_formats_are_named_once_and_only_those_that_there_are() -> None:
    assert checked_formats(["txt", "srt", "txt"]) == ("txt", "srt")
    assert checked_formats("vtt") == ("vtt",)
    for wrong in (["pdf"], [], None, 7, [7]):
        with pytest.raises(RequestError, match="json, txt, srt, vtt, sentences, paragraphs"):
            checked_formats(wrong)


@pytest.mark.parametrize(
    ("path", "partition", "folder"),
    [
        ("/out", None, "/out"),
        ("/out", "2026-11-01", "/out/2026-11-01"),
        ("file:///out", "2026-11-01T00:00:00", "/out/2026-11-01T00_00_00"),
        ("/out/2026-11-01", "2026-11-01", "/out/2026-11-01"),
        ("/out", "../../etc", "/out/__.._etc"),
    ],
)
def test_a_partition_has_a_folder_of_its_own(path: str, partition: str | None, folder: str) -> None:
    assert output_folder(path, open_path, partition=partition).path == folder


# Writing -------------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device") as raised:
        write_file(open_path(str(path)), b"new")
    assert str(path) in str(raised.value)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_disk_that_is_really_full_is_named(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match="could not be written"):
        write_file(open_path("/dev/full/a.txt"), b"new")


def test_outputs_are_as_readable_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_file(open_path(str(tmp_path / "deep" / "output.txt")), b"new")
    assert (tmp_path / "deep" / "output.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_file(open_path(str(tmp_path / "a.txt")), b"new")


@pytest.mark.parametrize("broken", [b"", b"{}", b"[]", b"null", b'{"v": 99}', b"\xff", b'{"v": 1, "files": []}'])
def test_a_receipt_that_cannot_be_read_is_none(client: AssemblyAIClient, tmp_path: Path, broken: bytes) -> None:
    transcript = transcribed(client, "Yes.")
    written = outputs(tmp_path, "txt")
    written.write(client, transcript, summarise(transcript), fp="f" * 64)
    assert written.receipt("f" * 64) is not None
    assert written.receipt("e" * 64) is None
    [path] = (tmp_path / "_asr").iterdir()
    path.write_bytes(broken)
    assert written.receipt("f" * 64) is None


def test_writing_again_gives_the_same_bytes(client: AssemblyAIClient, tmp_path: Path) -> None:
    transcript = transcribed(client, "It is so. Is it?")
    every: list[dict[str, Any]] = []
    for _ in range(2):
        outputs(tmp_path).write(client, client.get(transcript.id), summarise(transcript), fp="f" * 64)
        every.append({str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})
    assert every[0] == every[1]
