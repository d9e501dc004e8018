"""Keys that lead astray, and whose credentials are used."""

from __future__ import annotations

import logging

import pytest

from airflow_asr._airflow import open_path
from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, InputError, RequestError
from airflow_asr.jobs.source import AudioSource, find_audio
from airflow_asr.local.testing import LocalServer
from tests.jobs.conftest import arrived
from tests.object_storage import BUCKET, ObjectStorage

pytestmark = pytest.mark.usefixtures("storage")


def find(key: str, upload: str = "auto") -> AudioSource:
    return find_audio(f"s3://calls@{BUCKET}/{key}", open_path=open_path, upload=upload)


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a.wav?", "a.wav#", "a\t.wav", "a.\nwav"])
def test_a_key_that_a_uri_cannot_carry_is_not_taken_for_another_one(storage: ObjectStorage, key: str) -> None:
    storage.put("a.wav", b"another one")
    with pytest.raises(InputError, match="another object"):
        find(key)


@pytest.mark.parametrize("key", ["x/../y.wav", "x/./y.wav"])
def test_a_key_that_a_url_cannot_carry_is_uploaded(
    storage: ObjectStorage, client: AssemblyAIClient, server: LocalServer, key: str
) -> None:
    storage.put(key, f"sound of {key}".encode())
    assert find(key).deliver(client).uploaded
    assert arrived(server, f"sound of {key}".encode())
    with pytest.raises(InputError, match="cannot be signed"):
        find(key, upload="never").deliver(client)


@pytest.mark.parametrize("key", ["a b .wav ", " a.wav", "x//y.wav", "/y.wav", "a#1.wav", "a?x=1.wav", "~", "c:d.wav"])
def test_any_other_key_is_the_object_that_it_names(storage: ObjectStorage, client: AssemblyAIClient, key: str) -> None:
    storage.put(key, key.encode())
    audio = find(key)
    assert audio.location == f"s3://{BUCKET}/{key}"
    assert audio.identity["size"] == len(key)
    assert not audio.deliver(client).uploaded


@pytest.mark.parametrize(
    ("name", "expected", "said"),
    [
        ("s3://calls@", InputError, "names no bucket"),
        ("s3:///a.wav", InputError, "names no bucket"),
        ("s3://calls@recordings", InputError, "is a folder"),
        ("s3://calls@Bad_Bucket!/a.wav", RequestError, "Invalid bucket name"),
        ("s3://calls@[recordings/a.wav", RequestError, "Invalid IPv6 URL"),
    ],
)
def test_a_uri_that_cannot_work_is_not_tried_again(name: str, expected: type[AssemblyAIError], said: str) -> None:
    with pytest.raises(expected, match=said) as raised:
        find_audio(name, open_path=open_path)
    assert not raised.value.retryable


# Credentials ---------------------------------------------------------------------------------------------------------


def test_a_secret_in_the_place_of_a_connection_is_not_shown() -> None:
    with pytest.raises(RequestError, match="no Connection 'AKIAEXAMPLE:") as raised:
        find_audio(f"s3://AKIAEXAMPLE:SECRET@{BUCKET}/a.wav", open_path=open_path)
    assert "SECRET" not in str(raised.value)
    assert "before its @" in str(raised.value)


@pytest.fixture
def ambient(storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with credentials of its own."""
    for name, value in (("ACCESS_KEY_ID", "ambient"), ("SECRET_ACCESS_KEY", "ambient"), ("ENDPOINT_URL", storage.url)):
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.mark.usefixtures("ambient")
def test_the_credentials_of_the_machine_are_used_where_no_connection_is_named_and_said_to_be(
    storage: ObjectStorage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.put("a.wav", b"sound")
    with caplog.at_level(logging.INFO, "airflow_asr"):
        assert find_audio(f"s3://{BUCKET}/a.wav", open_path=open_path).identity["size"] == 5
    assert "names no Connection, so the credentials of this machine are used" in caplog.text


@pytest.mark.usefixtures("ambient")
@pytest.mark.parametrize("upload", ["auto", "always"])
def test_a_connection_that_is_taken_away_is_not_replaced_by_the_machine(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch, upload: str
) -> None:
    storage.put("a.wav", b"sound")
    monkeypatch.delenv("AIRFLOW_CONN_CALLS")
    with pytest.raises(RequestError, match="no Connection 'calls'"):
        find("a.wav", upload=upload)
