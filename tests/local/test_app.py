"""What happens when something within the server fails: an engine of our own, without a web server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_asr.local.app import create_app
from airflow_asr.local.engine import Recognition, RecognitionRequest, UnsupportedLanguageError
from airflow_asr.local.settings import Settings


class Moody:
    """Speaks no Klingon, breaks when it is asked for German, and falls over any audio."""

    name = "moody"

    def check(self, request: RecognitionRequest) -> None:
        if request.language_code == "tlh":
            raise UnsupportedLanguageError("moody does not speak tlh")
        if request.language_code == "de":
            raise RuntimeError("a secret of the house")

    def recognise(self, audio: Path, request: RecognitionRequest) -> Recognition:
        raise MemoryError("a secret of the house")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(Settings(tmp_path, Moody(), concurrency=1))
    with TestClient(app, headers={"Authorization": "local"}, raise_server_exceptions=False) as running:
        yield running


def create(client: TestClient, **config: Any) -> Any:
    audio_url = client.post("/v2/upload", content=b"\0\1").json()["upload_url"]
    return client.post("/v2/transcript", json={"audio_url": audio_url, **config})


def test_language_that_the_engine_does_not_speak(client: TestClient) -> None:
    response = create(client, language_code="tlh")
    assert (response.status_code, response.json()) == (400, {"error": "moody does not speak tlh"})
    assert client.get("/v2/transcript").json()["transcripts"] == []


def test_fault_of_ours(client: TestClient) -> None:
    response = create(client, language_code="de")
    assert response.status_code == 500
    assert response.json()["error"].startswith("Internal server error. Please retry your request")
    assert "secret" not in response.text


def test_engine_that_fails_takes_nothing_else_with_it(client: TestClient) -> None:
    ids = [create(client).json()["id"] for _ in range(3)]
    deadline = time.monotonic() + 20
    for transcript_id in ids:
        while (body := client.get(f"/v2/transcript/{transcript_id}").json())["status"] != "error":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert body["error"].startswith("Internal server error. Please retry your request.")
        assert "secret" not in body["error"]
