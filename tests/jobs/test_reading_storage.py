"""Objects that change and storage that fails while audio is read from S3."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import s3fs.core  # type: ignore[import-untyped]
from botocore.exceptions import ReadTimeoutError  # type: ignore[import-untyped]

from airflow_asr._airflow import open_path
from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, AudioChangedError, InputError, RequestError, ServiceError
from airflow_asr.jobs.source import AudioSource, find_audio
from airflow_asr.jobs.storage import storage_errors
from airflow_asr.local.testing import LocalServer
from tests.jobs.conftest import arrived
from tests.object_storage import BUCKET, ObjectStorage
from tests.scripted_service import Reply, ScriptedService

pytestmark = pytest.mark.usefixtures("storage")

LARGE = bytes(range(256)) * 80_000  # 20 MB: more than one block.


def find(key: str, conn_id: str = "calls", upload: str = "always") -> AudioSource:
    return find_audio(f"s3://{conn_id}@{BUCKET}/{key}", open_path=open_path, upload=upload)


@pytest.fixture
def uploads(server: LocalServer) -> Callable[[], int]:
    before = server.requests().get("POST /v2/upload", 0)
    return lambda: server.requests().get("POST /v2/upload", 0) - before


@pytest.fixture
def on_second_block(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], None]:
    """Do something each time that anything but the first block of an object is about to be read."""

    def install(act: Callable[[int], object]) -> None:
        real, calls = s3fs.core._fetch_range, []

        def fetch(fs: Any, bucket: str, key: str, version: object, start: int, end: int, **options: Any) -> object:
            if start:
                calls.append(start)
                act(len(calls))
            return real(fs, bucket, key, version, start, end, **options)

        monkeypatch.setattr(s3fs.core, "_fetch_range", fetch)

    return install


# Objects that change -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [b"SOUND", b"more sound", b"so"])
def test_an_object_that_changed_before_it_is_read_is_not_uploaded(
    storage: ObjectStorage, client: AssemblyAIClient, uploads: Callable[[], int], new: bytes
) -> None:
    storage.put("a.wav", b"sound")
    audio = find("a.wav")
    storage.put("a.wav", new)
    with pytest.raises(AudioChangedError, match=f"s3://{BUCKET}/a.wav changed") as raised:
        audio.deliver(client)
    assert raised.value.retryable
    assert uploads() == 0


@pytest.mark.parametrize("new", [bytes(len(LARGE)), bytes(9_000_000), bytes(30_000_000)])
def test_an_object_that_is_replaced_while_it_is_read_is_left_to_a_retry(
    storage: ObjectStorage,
    client: AssemblyAIClient,
    on_second_block: Callable[[Callable[[int], object]], None],
    new: bytes,
) -> None:
    storage.put("large.wav", LARGE)
    audio = find("large.wav")
    reads: list[int] = []

    def replace(number: int) -> None:
        reads.append(number)
        storage.put("large.wav", new)

    on_second_block(replace)
    with pytest.raises(AudioChangedError) as raised:
        audio.deliver(client)
    assert raised.value.retryable
    assert reads == [1]  # Reading it again within the same try could only fail again.


def test_an_object_that_is_deleted_is_gone(storage: ObjectStorage, client: AssemblyAIClient) -> None:
    storage.put("gone.wav", b"sound")
    audio = find("gone.wav")
    storage.client.delete_object(Bucket=BUCKET, Key="gone.wav")
    for act in (lambda: audio.deliver(client), audio.check_unchanged):
        with pytest.raises(InputError, match="There is nothing at"):
            act()


# Storage that fails --------------------------------------------------------------------------------------------------


BROKEN = [
    # urllib3 takes these two for an early reply of the service, and would wait for it.
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.EIO, "Internal error"),
    ReadTimeoutError(endpoint_url="https://b.example/a.wav?X-Amz-Signature=SECRET"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_an_upload_goes_on_after_a_failure_of_the_storage(
    storage: ObjectStorage,
    client: AssemblyAIClient,
    server: LocalServer,
    on_second_block: Callable[[Callable[[int], object]], None],
    error: Exception,
) -> None:
    data = LARGE + type(error).__name__.encode()
    storage.put("large.wav", data)

    def fail_once(number: int) -> None:
        if number == 1:
            raise error

    on_second_block(fail_once)
    assert find("large.wav").deliver(client).uploaded
    assert arrived(server, data)


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_storage_that_goes_on_failing_is_left_to_a_retry(
    storage: ObjectStorage,
    client: AssemblyAIClient,
    on_second_block: Callable[[Callable[[int], object]], None],
    error: Exception,
) -> None:
    storage.put("large.wav", LARGE)

    def fail(_: int) -> None:
        raise error

    on_second_block(fail)
    with pytest.raises(ServiceError, match="could not be read") as raised:
        find("large.wav").deliver(client)
    assert raised.value.retryable
    assert "SECRET" not in str(raised.value)


def test_a_right_that_is_withdrawn_meanwhile_is_told_from_bad_audio(
    storage: ObjectStorage,
    client: AssemblyAIClient,
    on_second_block: Callable[[Callable[[int], object]], None],
) -> None:
    storage.put("large.wav", LARGE)
    with ExitStack() as until_the_end:
        on_second_block(lambda number: until_the_end.enter_context(storage.strict()) if number == 1 else None)
        with pytest.raises(RequestError, match="permission denied"):
            find("large.wav").deliver(client)


@pytest.mark.parametrize(
    ("status", "expected", "said"),
    [
        (400, RequestError, "Bad Request.*not expired"),  # What S3 answers to HEAD with a token that has expired.
        (403, RequestError, "permission denied"),
        (503, ServiceError, "could not be read"),
    ],
)
def test_what_storage_answers_tells_who_must_act(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, status: int, expected: type[AssemblyAIError], said: str
) -> None:
    service.add(Reply(status))
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    extra = {"endpoint_url": service.url, "config_kwargs": {"retries": {"max_attempts": 0}}}
    login = {"login": "test-key", "password": "test-secret-key"}
    monkeypatch.setenv("AIRFLOW_CONN_FAULTY", json.dumps({"conn_type": "aws", **login, "extra": extra}))
    with pytest.raises(expected, match=said) as raised:
        find("a.wav", conn_id="faulty")
    assert raised.value.retryable == (status == 503)
    assert "test-secret-key" not in str(raised.value)


class CloudError(Exception):
    """As Azure's and Google's: the status is in an attribute."""

    def __init__(self, text: str = "said the cloud", **status: object) -> None:
        super().__init__(text)
        vars(self).update(status)


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (CloudError(status_code=404), InputError, "There is nothing at"),
        (CloudError(status_code=401), RequestError, "permission denied"),
        (CloudError(code=403), RequestError, "permission denied"),
        (CloudError(code="AuthorizationFailure"), ServiceError, "could not be read"),
        (OSError("Forbidden: https://storage.example/b/a.wav"), RequestError, "permission denied"),
        (CloudError(status_code=400), RequestError, "calls the request wrong"),
        (CloudError(status_code=408), ServiceError, "could not be read"),
        (CloudError(code=429), ServiceError, "could not be read"),
        (CloudError(code=503), ServiceError, "could not be read"),
        (OSError(errno.EREMCHG, "moved"), RequestError, "region"),
        (ValueError("Invalid IPv6 URL"), RequestError, "calls the request wrong"),
        (TimeoutError("late"), ServiceError, "could not be read"),
        # A word in a name says nothing about the credentials.
        (ConnectionError("https://b.example/expired/Forbidden.wav"), ServiceError, "could not be read"),
    ],
)
def test_errors_of_other_clouds_find_their_class(error: Exception, expected: type[AssemblyAIError], said: str) -> None:
    with pytest.raises(expected, match=said) as raised, storage_errors("gs://b/a.wav", "gs"):
        raise error
    assert type(raised.value) is expected
    assert raised.value.__suppress_context__  # No traceback of a library under the message.
