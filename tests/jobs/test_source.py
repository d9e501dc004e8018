from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AudioChangedError, InputError
from airflow_asr.api.retry import NO_RETRY
from airflow_asr.jobs.source import LocalAudio, UrlAudio, find_audio
from tests.scripted_service import ScriptedService


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a call.wav"
    path.write_bytes(b"RIFF" * 10)
    return path


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_found_and_named_by_its_path(recording: Path) -> None:
    for name in (str(recording), recording):
        audio = find_audio(name)
        assert isinstance(audio, LocalAudio)
        assert audio.shown == str(recording)
        assert audio.size == 40


def test_a_file_is_uploaded_when_it_is_needed_and_not_before(service: ScriptedService, recording: Path) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/abc"})
    audio = find_audio(recording)
    assert service.requests == []
    with AssemblyAIClient("0123456789", base_url=service.url) as client:
        assert audio.deliver(client).url == "https://cdn.assemblyai.com/upload/abc"
    assert [request.path for request in service.requests] == ["/v2/upload"]
    assert service.requests[0].body == b"RIFF" * 10


def test_a_file_that_went_away_before_the_upload_is_named(service: ScriptedService, recording: Path) -> None:
    audio = find_audio(recording)
    recording.unlink()
    with (
        AssemblyAIClient("0123456789", base_url=service.url) as client,
        pytest.raises(InputError, match=r"a call\.wav"),
    ):
        audio.deliver(client)
    assert service.requests == []


@pytest.mark.parametrize("quarters", [9, 11])
def test_a_file_that_grew_or_shrank_since_it_was_found_is_left_to_a_retry(
    service: ScriptedService, recording: Path, quarters: int
) -> None:
    service.json({"upload_url": "https://cdn.assemblyai.com/upload/abc"})
    audio = find_audio(recording)
    recording.write_bytes(b"RIFF" * quarters)
    with (
        AssemblyAIClient("0123456789", base_url=service.url, retry=NO_RETRY) as client,
        pytest.raises(AudioChangedError, match="changed while it was being read") as raised,
    ):
        audio.deliver(client)
    assert raised.value.retryable


def test_a_file_has_one_name(recording: Path) -> None:
    (recording.parent / "sub").mkdir()
    roundabout = find_audio(f"{recording.parent}/sub/../{recording.name}")
    assert roundabout.location == str(recording)
    assert roundabout.identity == find_audio(recording).identity


def test_a_file_is_the_same_audio_until_its_size_or_time_changes(recording: Path) -> None:
    first = find_audio(recording).identity
    assert find_audio(recording).identity == first

    found = recording.stat()
    os.utime(recording, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000_000))
    touched = find_audio(recording).identity
    assert touched != first

    recording.write_bytes(b"RIFF" * 12)
    os.utime(recording, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert find_audio(recording).identity not in (first, touched)


def test_two_files_are_not_the_same_audio(recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.wav"
    other.write_bytes(recording.read_bytes())
    found = recording.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert find_audio(other).identity != find_audio(recording).identity


def test_what_is_no_usable_file_is_refused_by_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    fifo = tmp_path / "pipe.wav"
    os.mkfifo(fifo)
    dangling = tmp_path / "link.wav"
    dangling.symlink_to(tmp_path / "nowhere.wav")
    for name, problem in [
        (tmp_path / "missing.wav", "no file .*missing.wav.* on this worker"),
        (dangling, "no file"),
        (tmp_path, "directory.*expand"),
        (empty, "empty.wav.* is empty"),
        (fifo, "pipe.wav.* is not a regular file"),
        (empty / "a.wav", "Cannot read .*Not a directory"),
        (tmp_path / ("x" * 300), "Cannot read .*too long"),
    ]:
        with pytest.raises(InputError, match=problem):
            find_audio(name)


def test_a_file_without_the_right_to_read_it_is_refused(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, who may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == recording and mode == os.R_OK))
    with pytest.raises(InputError, match=r"Cannot read .*permission denied"):
        find_audio(recording)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.wav", "not absolute"),
        ("./a.wav", "not absolute"),
        ("~/a.wav", "not absolute.*`~`"),
        ("C:\\calls\\a.wav", "Windows path"),
        ("d:/calls/a.wav", "Windows path"),
        ("/data/a\x00.wav", "Cannot read"),
        ("s3://bucket/a.wav", "s3:// is read by the operators"),
        ("https://", "needs a host"),
        ("https:///a.wav", "needs a host"),
        ("https://[::1/a.wav", "needs a host"),
        ("https://example.org/a b.wav", "no white space"),
        ("https://example.org/a\nb.wav", "no white space"),
        ("https://example.org/a\x00.wav", "no usable URL"),
        ("", "must be a path or a URL"),
        ("   ", "must be a path or a URL"),
        (b"/data/a.wav", "must be a path or a URL"),
        (None, "must be a path or a URL"),
        (["/data/a.wav"], "must be a path or a URL"),
    ],
)
def test_a_name_that_cannot_work_is_refused_and_says_why(name: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        find_audio(name)  # type: ignore[arg-type]
    assert not raised.value.retryable


@pytest.mark.parametrize("name", ["s3://b/a.wav?sig=SECRET", "https://h/a b?sig=SECRET", " a https://h/a?sig=SECRET"])
def test_a_refusal_does_not_show_what_grants_access(name: str) -> None:
    with pytest.raises(InputError) as raised:
        find_audio(name)
    assert "SECRET" not in str(raised.value)


# URLs ----------------------------------------------------------------------------------------------------------------


def test_a_url_is_passed_on_as_it_is(service: ScriptedService) -> None:
    url = "https://bucket.example/a%20b.wav?X-Amz-Signature=abc&x=1#t=1"
    audio = find_audio(url)
    with AssemblyAIClient("0123456789", base_url=service.url) as client:
        assert audio.deliver(client).url == url
    assert service.requests == []


@pytest.mark.parametrize(
    "name", [" https://example.org/a.wav", "https://example.org/a.wav\n", "HTTPS://example.org/a.wav"]
)
def test_a_url_may_have_white_space_around_it_and_a_loud_scheme(name: str) -> None:
    audio = find_audio(name)
    assert isinstance(audio, UrlAudio)
    assert audio.url == name.strip()


def test_what_is_shown_of_a_url_grants_no_access() -> None:
    audio = find_audio("https://user:SECRET@bucket.example/a.wav?sig=SECRET#SECRET")
    assert audio.shown == "https://bucket.example/a.wav?[hidden]"
    assert "SECRET" not in repr(audio)
    assert "SECRET" not in str(audio.identity)


S3 = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "AKIA/2026",
    "X-Amz-Date": "20261123T120000Z",
    "X-Amz-Expires": "21600",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Security-Token": "tok",
    "X-Amz-Signature": "abc",
}
S3_V2 = {"AWSAccessKeyId": "AKIA", "Signature": "abc=", "Expires": "1795449600"}
GCS = {"X-Goog-Algorithm": "GOOG4-RSA-SHA256", "X-Goog-Signature": "abc", "X-Goog-Date": "20261123T120000Z"}
GCS_V2 = {"GoogleAccessId": "me@example", "Signature": "abc=", "Expires": "1795449600"}
CLOUDFRONT = {"Policy": "eyJ", "Signature": "abc~", "Key-Pair-Id": "K2", "Expires": "1795449600"}
AZURE = {"sv": "2026-02-06", "st": "2026-11-23", "se": "2026-11-24", "sr": "b", "sp": "r", "spr": "https", "sig": "ab="}


@pytest.mark.parametrize("signature", [S3, S3_V2, GCS, GCS_V2, CLOUDFRONT, AZURE])
def test_a_url_that_is_signed_anew_is_the_same_audio(signature: dict[str, str]) -> None:
    plain = "https://bucket.example/a.wav?versionId=7"
    once = find_audio(f"{plain}&{urlencode(signature)}")
    again = find_audio(f"{plain}&{urlencode({name: value + 'x' for name, value in signature.items()})}")
    lower = find_audio(f"{plain}&{urlencode({name.lower(): value for name, value in signature.items()})}")
    assert once.identity == again.identity == lower.identity == find_audio(plain).identity


@pytest.mark.parametrize("part", ["versionId=7", "id=7", "path=%2Fa.wav", "empty=", "x-ms-snapshot=7"])
def test_every_other_parameter_tells_audio_apart(part: str) -> None:
    plain = find_audio(f"https://bucket.example/a.wav?{urlencode(S3)}")
    assert find_audio(f"https://bucket.example/a.wav?{part}&{urlencode(S3)}").identity != plain.identity


@pytest.mark.parametrize("name", ["st", "se", "sp", "sr", "sv", "policy", "expires"])
def test_a_parameter_that_could_belong_to_a_signature_counts_where_nothing_is_signed(name: str) -> None:
    # Taking two recordings for one would hand out the wrong transcript.
    one, other = (find_audio(f"https://calls.example/recording?{name}={number}") for number in (1, 2))
    assert one.identity != other.identity


def test_the_fragment_does_not_tell_audio_apart() -> None:
    assert find_audio("https://h.example/a.wav#t=1").identity == find_audio("https://h.example/a.wav").identity


names = st.text(st.sampled_from("abcxyz_"), min_size=1, max_size=5).filter(lambda name: name not in AZURE)


@given(
    st.lists(st.tuples(names, st.text(max_size=8)), max_size=4), st.sampled_from([S3, S3_V2, GCS, CLOUDFRONT, AZURE])
)
def test_signing_never_changes_what_the_audio_is(parameters: list[tuple[str, str]], signature: dict[str, str]) -> None:
    parameters = [(name, value) for name, value in parameters if name.isidentifier()]
    plain = f"https://bucket.example/a.wav?{urlencode(parameters)}"
    signed = f"https://bucket.example/a.wav?{urlencode([*parameters, *signature.items()])}"
    assert find_audio(signed).identity == find_audio(plain).identity
    assert all(value not in str(find_audio(signed).identity) for value in signature.values() if len(value) > 8)
