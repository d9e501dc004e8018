"""Audio in, and outputs to, storage that speaks S3, through Airflow's own provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from s3fs import S3FileSystem  # type: ignore[import-untyped]

from airflow_asr._airflow import open_path
from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import (
    AssemblyAIError,
    AudioChangedError,
    InputError,
    OutputError,
    RequestError,
    ServiceError,
)
from airflow_asr.exceptions import AssemblyAIFailException
from airflow_asr.jobs.signing import SIGNED_FOR_S
from airflow_asr.jobs.source import AudioSource, find_audio
from airflow_asr.jobs.storage import version_of, without_connection
from airflow_asr.local.testing import LocalServer, scripted_audio
from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator
from tests.jobs.conftest import KEY
from tests.object_storage import BUCKET, ObjectStorage
from tests.operators.running import TaskInstance
from tests.scripted_service import Reply, ScriptedService

pytestmark = pytest.mark.usefixtures("storage")


@pytest.fixture
def task(server: LocalServer, client: AssemblyAIClient, monkeypatch: pytest.MonkeyPatch) -> TaskInstance:
    connection = {"conn_type": "assemblyai", "password": KEY, "extra": {"base_url": server.url}}
    monkeypatch.setenv("AIRFLOW_CONN_ASSEMBLYAI_DEFAULT", json.dumps(connection))
    monkeypatch.setattr("airflow_asr.jobs.schedule.PollSchedule.after", lambda *_: 0.05)
    return TaskInstance(client)


@pytest.fixture
def submissions(server: LocalServer) -> Callable[[], int]:
    before = server.requests().get("POST /v2/transcript", 0)
    return lambda: server.requests().get("POST /v2/transcript", 0) - before


def uri(key: str, bucket: str = BUCKET, conn_id: str = "calls") -> str:
    return f"s3://{conn_id}@{bucket}/{key}"


def find(key: str, **arguments: Any) -> AudioSource:
    return find_audio(uri(key), open_path=open_path, **arguments)


def transcribe(audio: str, **arguments: Any) -> AssemblyAITranscribeOperator:
    return AssemblyAITranscribeOperator(task_id="transcribe", audio=audio, **{"deferrable": False, **arguments})


# Signing and streaming -----------------------------------------------------------------------------------------------


def test_an_object_is_signed_for_six_hours_by_the_new_method_and_each_time_anew(
    storage: ObjectStorage, client: AssemblyAIClient
) -> None:
    storage.put("a.wav", b"sound")
    audio = find("a.wav")
    deliveries = [audio.deliver(client) for _ in range(3)]
    assert len({delivery.url for delivery in deliveries}) == 3
    assert not deliveries[0].uploaded
    query = parse_qs(urlsplit(deliveries[0].url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == [str(SIGNED_FOR_S)] == ["21600"]
    # Whatever is among the parameters of such a URL is signed with it.
    assert "response-content-disposition" in query
    assert requests.get(deliveries[0].url, timeout=10).content == b"sound"
    assert "X-Amz" not in repr([audio, *deliveries])


def test_an_object_is_streamed_where_it_shall_be(storage: ObjectStorage, client: AssemblyAIClient) -> None:
    storage.put("a.wav", b"sound")
    delivery = find("a.wav", upload="always").deliver(client)
    assert delivery.uploaded
    assert delivery.url.startswith(client.base_url)


def test_a_large_object_arrives_whole(
    storage: ObjectStorage, client: AssemblyAIClient, server: LocalServer, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 80_000  # 20 MB: more than one block.
    storage.put("large.wav", data)
    find("large.wav", upload="always").deliver(client)
    uploads = [path for path in Path(server.data_dir).rglob("*") if path.is_file() and path.stat().st_size == len(data)]
    assert [path.read_bytes() == data for path in uploads] == [True]


def test_storage_that_cannot_sign_is_streamed_unless_that_is_forbidden(
    storage: ObjectStorage, client: AssemblyAIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("a.wav", b"sound")

    def sign(*_: Any, **__: Any) -> str:
        raise NotImplementedError

    monkeypatch.setattr("s3fs.S3FileSystem.sign", sign)
    assert find("a.wav").deliver(client).uploaded
    with pytest.raises(InputError, match="cannot be signed"):
        find("a.wav", upload="never").deliver(client)


# Identity ------------------------------------------------------------------------------------------------------------


def test_an_object_is_known_by_what_it_holds_and_not_by_who_reads_it(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", storage.connection())
    storage.put("a.wav", b"sound")
    first = find("a.wav")
    assert find_audio(uri("a.wav", conn_id="other"), open_path=open_path).identity == first.identity
    assert first.location == f"s3://{BUCKET}/a.wav"
    assert not first.shared_url
    storage.put("a.wav", b"SOUND")
    assert find("a.wav").identity != first.identity


@pytest.mark.parametrize(
    "key", ["with space.wav", "späte Aufnahme.wav", "录音/一.wav", "a&b=c;d+e.wav", "x/" + "y" * 240]
)
def test_any_key_can_be_read(storage: ObjectStorage, client: AssemblyAIClient, key: str) -> None:
    storage.put(key, scripted_audio("Yes."))
    audio = find(key)
    assert audio.name == key.rpartition("/")[2]
    assert requests.get(audio.deliver(client).url, timeout=10).content == scripted_audio("Yes.")


def test_the_connection_is_no_part_of_a_location() -> None:
    assert without_connection("S3://conn@bucket/a@b/c.wav") == "s3://bucket/a@b/c.wav"
    assert without_connection("s3://bucket/a.wav") == "s3://bucket/a.wav"
    assert without_connection("s3a://conn@bucket/a.wav") == "s3://bucket/a.wav"
    assert version_of({"size": 1}) == ""


# What goes wrong -----------------------------------------------------------------------------------------------------


def test_a_missing_connection_is_named_and_nothing_else_is_tried(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("a.wav", b"sound")
    # Credentials that the machine has by chance must not be used in the place of those that were named.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    monkeypatch.setenv("AWS_ENDPOINT_URL", storage.url)
    with pytest.raises(RequestError, match="no Connection 'nobody'"):
        find_audio(uri("a.wav", conn_id="nobody"), open_path=open_path)


def test_a_key_or_bucket_that_is_not_there_is_named(storage: ObjectStorage) -> None:
    for where in (uri("nothing.wav"), uri("a.wav", bucket="no-such-bucket")):
        with pytest.raises(InputError, match="There is nothing at s3://") as raised:
            find_audio(where, open_path=open_path)
        assert without_connection(where) in str(raised.value)


def test_a_folder_or_an_empty_object_is_no_audio(storage: ObjectStorage) -> None:
    storage.put("folder/a.wav", b"sound")
    storage.put("empty.wav", b"")
    for key, said in (("folder", "is a folder"), ("folder/", "is a folder"), ("empty.wav", "is empty")):
        with pytest.raises(InputError, match=said):
            find(key)


def test_storage_that_refuses_is_not_asked_again(storage: ObjectStorage) -> None:
    storage.put("a.wav", b"sound")
    with storage.strict(), pytest.raises(RequestError, match="permission denied") as raised:
        find("a.wav")
    assert not raised.value.retryable
    assert "test-secret-key" not in str(raised.value)


def test_storage_that_is_away_is_left_to_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "aws", "login": "k", "password": "s", "extra": {"endpoint_url": "http://127.0.0.1:9"}}
    connection["extra"] = {**connection["extra"], "config_kwargs": {"retries": {"max_attempts": 0}}}  # type: ignore[dict-item]
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(connection))
    with pytest.raises(ServiceError, match="could not be read") as raised:
        find_audio(uri("a.wav", conn_id="away"), open_path=open_path)
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gs://conn@bucket/a.wav", r"pip install 'airflow-asr\[gcs\]'"),
        ("abfs://conn@container/a.wav", r"pip install 'airflow-asr\[azure\]'"),
        ("nfs://server/a.wav", "knows no storage for nfs://"),
    ],
)
def test_storage_whose_provider_is_missing_is_named_with_the_remedy(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CONN", json.dumps({"conn_type": "generic"}))
    with pytest.raises(RequestError, match=said):
        find_audio(name, open_path=open_path)


@pytest.mark.parametrize("upload", ["auto", "always"])
def test_an_object_that_changes_before_it_is_sent_is_noticed(
    storage: ObjectStorage, client: AssemblyAIClient, upload: str
) -> None:
    storage.put("a.wav", b"sound")
    audio = find("a.wav", upload=upload)
    storage.put("a.wav", b"SOUND")
    with pytest.raises(AudioChangedError, match="Nothing was submitted") as raised:
        audio.deliver(client)
    assert raised.value.retryable


def test_a_file_that_changes_while_it_is_uploaded_is_noticed(tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"sound")
    audio = find_audio(recording)

    class Writing(AssemblyAIClient):
        def upload(self, *_: Any, **__: Any) -> str:
            recording.write_bytes(b"more sound")
            return "https://cdn.assemblyai.com/upload/a"

    with Writing(KEY) as client, pytest.raises(AudioChangedError, match="still being written"):
        audio.deliver(client)


@pytest.mark.parametrize(
    ("name", "upload", "said"),
    [
        ("https://example.org/a.wav", "always", "fetches a URL by itself"),
        ("https://example.org/a.wav", "sometimes", "`upload` is 'sometimes'"),
        ("/etc/hostname", "never", "can only be uploaded"),
    ],
)
def test_a_way_that_does_not_fit_the_audio_is_refused(name: str, upload: str, said: str) -> None:
    with pytest.raises((InputError, RequestError), match=said):
        find_audio(name, upload=upload)


# The whole way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upload", ["auto", "always", "never"])
def test_from_a_bucket_to_a_bucket(
    storage: ObjectStorage, task: TaskInstance, submissions: Callable[[], int], upload: str
) -> None:
    storage.put(f"calls/{upload}/späte Aufnahme.wav", scripted_audio("Hello there.", process_s=0))
    operator = transcribe(
        uri(f"calls/{upload}/späte Aufnahme.wav"), output_path=uri("text"), formats=["txt", "srt"], upload=upload
    )
    summary = task.run(operator)
    assert summary["audio"] == f"s3://{BUCKET}/calls/{upload}/späte Aufnahme.wav"
    key = summary["outputs"]["txt"].removeprefix(f"s3://calls@{BUCKET}/")
    assert storage.get(key) == b"Hello there.\n"
    assert open_path(summary["outputs"]["srt"]).read_text().startswith("1\n")
    assert TaskInstance(task.client).run(operator) == summary
    assert submissions() == 1
    assert "X-Amz" not in json.dumps([summary, task.state.kept])


def test_an_object_that_is_replaced_while_it_is_transcribed_is_transcribed_again(
    storage: ObjectStorage, task: TaskInstance, submissions: Callable[[], int]
) -> None:
    storage.put("a.wav", scripted_audio("Old.", process_s=0))
    operator = transcribe(uri("a.wav"), output_path=uri("text"), deferrable=True)
    task.before_leg = lambda: storage.put("a.wav", scripted_audio("New.", process_s=0))
    with pytest.raises(AudioChangedError, match="replaced while it was being transcribed"):
        task.run(operator)
    task.before_leg = lambda: None
    assert task.run(operator)["text"] == "New."
    assert submissions() == 2


def test_a_signature_that_has_expired_is_made_again(
    storage: ObjectStorage,
    task: TaskInstance,
    submissions: Callable[[], int],
    service: ScriptedService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The storage of the tests does not look at the time of a signature: another server refuses the first URL."""
    service.add(Reply(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"))
    storage.put("a.wav", scripted_audio("Yes.", process_s=0))
    real, made = S3FileSystem.sign, []

    def sign(fs: Any, path: str, **asked: Any) -> str:
        made.append(path)
        url: str = real(fs, path, **asked)
        return url.replace(storage.url, service.url) if len(made) == 1 else url

    monkeypatch.setattr(S3FileSystem, "sign", sign)
    assert task.run(transcribe(uri("a.wav")))["text"] == "Yes."
    assert [request.method for request in service.requests] == ["GET"]
    assert submissions() == 2


@pytest.mark.parametrize("bucket", ["no-such-bucket", "refusing"])
def test_a_bucket_that_takes_nothing_is_found_out_before_anything_is_paid_for(
    storage: ObjectStorage,
    task: TaskInstance,
    submissions: Callable[[], int],
    tmp_path: Path,
    bucket: str,
) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(scripted_audio("Yes.", process_s=0))
    operator = transcribe(str(recording), output_path=uri("text", bucket=BUCKET if bucket == "refusing" else bucket))
    if bucket == "refusing":
        with storage.strict(), pytest.raises((OutputError, AssemblyAIError, AssemblyAIFailException)):
            task.run(operator)
    else:
        with pytest.raises(OutputError, match="Nothing was submitted"):
            task.run(operator)
    assert submissions() == 0


def test_outputs_without_a_connection_fail_before_anything_is_paid_for(
    task: TaskInstance, submissions: Callable[[], int], tmp_path: Path
) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(scripted_audio("Yes.", process_s=0))
    with pytest.raises(AssemblyAIFailException, match="no Connection 'nobody'"):
        task.run(transcribe(str(recording), output_path=uri("text", conn_id="nobody")))
    assert submissions() == 0
