"""Storage that speaks S3, and a service to send its audio to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import sync_wrapper  # type: ignore[import-untyped]
from s3fs import S3FileSystem  # type: ignore[import-untyped]

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.retry import RetryPolicy
from airflow_asr.local.testing import LocalServer
from tests.object_storage import ObjectStorage

KEY = "local-key-0123456789"


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectStorage]:
    with ObjectStorage() as storage:
        yield storage


@pytest.fixture
def storage(running: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """Storage that the Connection ``calls`` leads to."""
    from airflow.sdk.io import store

    monkeypatch.setenv("AIRFLOW_CONN_CALLS", running.connection())
    # What Airflow remembers of a Connection must not outlive the test that made it.
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return running


@pytest.fixture
def requests_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the S3 calls that are made from now on."""
    made: list[str] = []
    real = S3FileSystem._call_s3

    async def call(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        made.append(method)
        return await real(self, method, *arguments, **options)

    monkeypatch.setattr(S3FileSystem, "_call_s3", call)
    monkeypatch.setattr(S3FileSystem, "call_s3", sync_wrapper(call))
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(api_key=KEY) as running:
        yield running


@pytest.fixture
def client(server: LocalServer) -> Iterator[AssemblyAIClient]:
    with AssemblyAIClient(KEY, base_url=server.url, retry=RetryPolicy(base_s=0.01)) as client:
        yield client


def arrived(server: LocalServer, data: bytes) -> bool:
    """Say whether the server holds these bytes as one upload, whole."""
    for path in Path(server.data_dir).rglob("*"):
        with suppress(FileNotFoundError):  # An upload that broke off goes away when the server notices.
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return True
    return False
