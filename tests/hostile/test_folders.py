"""Outputs stay in their folder, whatever the audio is called and whatever lies there already.

Links are what the user's storage is made of: audio that is a link is the file that it leads to, under the link's own
name, and a folder that is a link is followed. An output that is a link is replaced by a file; what it led to is left
alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_asr._airflow import open_path
from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, InputError, OutputError, RequestError
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.names import output_name, safe_name
from airflow_asr.jobs.outputs import Outputs, output_folder, verify
from airflow_asr.jobs.receipts import read_receipt
from airflow_asr.jobs.results import summarise
from airflow_asr.jobs.source import UrlAudio, find_audio
from tests.hostile import replies
from tests.scripted_service import ScriptedService

FP = "f" * 64
SAID = Transcript({"id": "t-1", "status": "completed", "text": "Yes.", "audio_url": "https://h.example/a.wav"})

NAMES = [
    *("..", "../../x", "/etc/passwd", "..\\..\\x", "\\\\host\\share\\x", "C:\\x", "C:x", "a/../../x", "....//x", "./x"),
    *("a\0.txt", "\0", "a\n../x", "x\r\n", "~", "~root/x", "$HOME/x", "`id`", "-rf", "*", "a::b", "s3://evil/x"),
    *("CON", "nul.wav", "COM1", "lpt9.mp3", "aux.", "con .wav", "PRN", "com¹.wav"),
    *(".", ".bashrc", "...", " ", "", "a.", "a ", "\u202egpj.wav", "\u200b", "\ufeff", "\u2028", "．．／x", "\ud800"),
    *("_asr", "_asr/open/x", "%2e%2e%2fx", "%2F%2E%2E", "a" * 5000, "é" * 5000, "👩‍👩‍👧‍👦" * 100),
]
hostile_names = st.sampled_from(NAMES) | st.text(max_size=40) | st.text("./\\:~%\0_ \ud800con", max_size=20)


@pytest.fixture
def client() -> Iterator[AssemblyAIClient]:
    with ScriptedService() as service, AssemblyAIClient("key-0123456789", base_url=service.url) as client:
        yield client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


def write(folder: Path, base: str, client: Any = None, *, partition: str | None = None) -> Outputs:
    outputs = Outputs(output_folder(str(folder), open_path, partition=partition), base, ("json", "txt"), "owner")
    outputs.check_writable()
    outputs.write(client, SAID, summarise(SAID, outputs=outputs.uris()), fp=FP)
    return outputs


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


# Names ---------------------------------------------------------------------------------------------------------------


@given(name=hostile_names, location=hostile_names, partition=st.none() | hostile_names)
def test_nothing_is_written_outside_of_the_folder(place: Path, name: str, location: str, partition: str | None) -> None:
    folder = place / "outputs"
    outputs = write(folder, output_name(name, location), partition=partition)
    assert everything(place) == everything(folder)
    written = [Path(uri.removeprefix("file://")) for uri in outputs.uris().values()]
    depth = 2 if partition else 1
    assert all(path.is_file() and len(path.relative_to(folder).parts) == depth for path in written)
    verify(outputs.uris(), open_path)


@given(name=hostile_names)
def test_the_last_part_of_a_url_is_no_way_out_either(place: Path, name: str) -> None:
    source = UrlAudio(f"https://h.example/{quote(name, safe='', errors='replace')}")
    write(place / "urls", output_name(source.name, source.location))
    assert everything(place / "urls") == {path for path in everything(place) if "urls" in path.parts}


@given(name=hostile_names)
@example("con")
@example("Lpt1.wav")
def test_a_name_is_a_name_on_windows_too(name: str) -> None:
    safe = safe_name(name)
    assert not PureWindowsPath(safe).is_reserved()
    assert not PureWindowsPath(safe).drive
    assert PureWindowsPath(safe).parts == (safe,)


@given(name=hostile_names)
def test_a_name_hides_nothing(name: str) -> None:
    safe = safe_name(name)
    assert not set(safe) & set("\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\0\x1b\x7f\x85")
    safe.encode()
    assert safe not in (".", "..", "")


@pytest.mark.parametrize("path", ["/out/a\0b", "/dev/null/x", "/proc/self/x", "file:///x\0"])
def test_a_folder_that_cannot_be_is_an_error_of_ours(path: str) -> None:
    with pytest.raises(AssemblyAIError):
        Outputs(output_folder(path, open_path), "a", ("txt",), "o").check_writable()


@pytest.mark.parametrize("path", ["file://", "file://out", "file://./out", "FILE://~/out", "local://out", "out", ""])
def test_a_folder_that_is_not_absolute_is_not_made_where_the_worker_happens_to_run(path: str) -> None:
    with pytest.raises(RequestError, match="not absolute"):
        output_folder(path, open_path)


@pytest.mark.parametrize("path", ["{}", "file://{}", "//{}", "file:////{}", "FILE://{}", "local://{}", "file://{}/"])
def test_a_local_folder_is_the_one_that_is_named(tmp_path: Path, path: str) -> None:
    named = path.format(tmp_path)
    assert output_folder(named, open_path).path.rstrip("/") == str(tmp_path)


# Links ---------------------------------------------------------------------------------------------------------------


def test_an_output_that_is_a_link_is_replaced_and_what_it_led_to_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    folder = tmp_path / "out"
    (folder / "_asr").mkdir(parents=True)
    links = [folder / "a.txt", folder / "a.json", folder / "_asr" / "a.json", folder / "_asr" / "_writable"]
    for link in links:
        link.symlink_to(precious)
    write(folder, "a")
    assert precious.read_text() == "mine"
    assert not any(link.is_symlink() for link in links)
    assert (folder / "a.txt").read_text() == "Yes.\n"


def test_an_output_that_is_a_second_name_of_a_file_leaves_that_file_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").hardlink_to(precious)
    write(tmp_path / "out", "a")
    assert precious.read_text() == "mine"


def test_an_output_that_is_a_link_to_nowhere_makes_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "nowhere.txt")
    write(tmp_path / "out", "a")
    assert not (tmp_path / "nowhere.txt").exists()


def test_a_folder_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    write(tmp_path / "out", "a")
    assert (tmp_path / "disk" / "a.txt").read_text() == "Yes.\n"


@pytest.mark.parametrize("there", ["folder", "pipe", "circle"])
def test_what_stands_in_the_place_of_an_output_is_no_crash(tmp_path: Path, there: str) -> None:
    path = tmp_path / "a.txt"
    if there == "folder":
        (path / "full").mkdir(parents=True)
        with pytest.raises(OutputError, match="is complete and paid for"):
            write(tmp_path, "a")
        return
    if there == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    write(tmp_path, "a")
    assert path.read_text() == "Yes.\n"


def test_audio_that_is_a_link_is_the_file_under_the_name_of_the_link(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "today.wav").symlink_to(tmp_path / "archive" / "a.wav")
    found = find_audio(tmp_path / "today.wav")
    assert (found.name, found.location) == ("today.wav", str(tmp_path / "today.wav"))
    assert found.identity["size"] == 4


@pytest.mark.parametrize("target", ["today.wav", "nowhere.wav", "folder", "/dev/zero", "/dev/stdin", "pipe"])
def test_a_link_to_what_is_no_file_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "today.wav").symlink_to(target)
    with pytest.raises(InputError, match=r"today\.wav"):
        find_audio(tmp_path / "today.wav")


# What lies in the folder ---------------------------------------------------------------------------------------------

_receipts = st.fixed_dictionaries(
    {"v": st.just(1) | replies.anything},
    optional={
        "fingerprint": st.just(FP) | replies.anything,
        "files": st.dictionaries(
            st.sampled_from(["txt", "json"]),
            st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "size", "sha256"), replies.anything))
            | replies.anything,
        )
        | replies.anything,
        "summary": st.just(summarise(SAID)) | replies.anything,
    },
)


@given(receipt=_receipts | replies.anything)
@example(receipt={"v": 1, "fingerprint": FP, "files": [1], "summary": summarise(SAID)})
@example(receipt={"v": 1, "files": {"txt": {}}, "summary": {"transcript_id": "t-1"}})
def test_any_json_in_the_place_of_a_receipt_is_a_receipt_or_none(place: Path, receipt: Any) -> None:
    folder = place / "receipts"
    (folder / "_asr").mkdir(parents=True, exist_ok=True)
    (folder / "_asr" / "a.json").write_text(json.dumps(receipt))
    outputs = Outputs(open_path(str(folder)), "a", ("txt",), "o")
    found = outputs.receipt(FP)
    if found is not None:
        outputs.complete(found)
    with contextlib.suppress(AssemblyAIError):
        verify(outputs.uris(), open_path)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"v":' * 100_000, b"\xff", b"\xef\xbb\xbf{}", b"9" * 5000])
def test_any_bytes_in_the_place_of_a_receipt_are_none(tmp_path: Path, data: bytes) -> None:
    path = open_path(str(tmp_path / "a.json"))
    Path(path.path).write_bytes(data)
    assert read_receipt(path) is None


_records = st.fixed_dictionaries(
    {"v": st.just(1) | replies.anything, "fp": st.just(FP) | replies.anything},
    optional={
        "audio": st.just("a.wav") | replies.anything,
        "account": st.just("0123456789abcdef") | replies.anything,
        "url_sha256": st.just("0" * 64) | replies.anything,
        "shared_url": st.booleans() | replies.anything,
        "intent_at": st.floats(0, 2e9) | replies.anything,
        "id": st.just("t-1") | replies.anything,
    },
)
_record_names: st.SearchStrategy[str] = st.sampled_from(
    [f"{FP[:16]}-{rest}.{kind}.json" for rest in ("o-1", "", "-", "x") for kind in ("intent", "job")]
)


@given(files=st.dictionaries(_record_names, _records | replies.anything, max_size=3))
def test_any_json_in_the_place_of_a_submission_stops_the_task_with_an_error_of_ours(
    place: Path, files: dict[str, Any]
) -> None:
    """It may stand for a job that is paid for."""
    folder = place / "open"
    jobs = folder / "_asr" / "open"
    jobs.mkdir(parents=True, exist_ok=True)
    for old in jobs.iterdir():
        old.unlink()
    for name, record in files.items():
        (jobs / name).write_text(json.dumps(record))
    open_jobs = Outputs(open_path(str(folder)), "a", ("txt",), "o").open_jobs
    with contextlib.suppress(OutputError):
        found = open_jobs.of(FP)
        assert all(job.record["fp"] == FP for job in found)
        assert len(found) <= len(files)


# Hand-over -----------------------------------------------------------------------------------------------------------


@given(audio=st.none() | replies.texts | hostile_names, output=hostile_names)
@example(audio="airflow://x", output="a")
@example(audio="x" * 2400, output="a")
def test_no_name_keeps_a_paid_transcript_from_being_handed_over(
    lineage: Callable[[str | None, str], None], audio: str | None, output: str
) -> None:
    lineage(audio, output)


@pytest.fixture(scope="module")
def lineage() -> Iterator[Callable[[str | None, str], None]]:
    """Return what hands over a transcript in an Airflow that reads lineage."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk.lineage import HookLineageCollector

    from airflow_asr.operators._task import hand_over

    transcribe = EmptyOperator(task_id="transcribe")

    def hand(audio: str | None, output: str) -> None:
        summary = summarise(SAID, audio=audio, outputs={"txt": f"file:///out/{output}"})
        hand_over(transcribe, {}, summary)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow.sdk.lineage.get_hook_lineage_collector", HookLineageCollector)
        yield hand
