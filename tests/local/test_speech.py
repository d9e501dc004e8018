"""The server with its real recogniser: from a recording to subtitles, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_asr.local.testing import LocalServer
from tests.local.http import Http

pytest.importorskip("faster_whisper")

pytestmark = pytest.mark.speech

RECORDINGS = Path(__file__).parents[2] / "demo" / "recordings"


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with LocalServer(engine="whisper", concurrency=2) as server, Http(server) as client:
        yield client


def test_two_channels(http: Http) -> None:
    audio_url = http.upload((RECORDINGS / "call-04-burst-pipe.wav").read_bytes())
    config = {"multichannel": True, "speech_models": ["universal-3-5-pro"]}
    body = http.wait(http.submit(audio_url, **config)["id"], seconds=120)
    assert body["status"] == "completed", body
    assert body["speech_model_used"] == "whisper-tiny.en"
    assert body["audio_channels"] == 2
    assert body["confidence"] > 0.8
    assert "pipe burst" in body["text"]
    assert {turn["speaker"] for turn in body["utterances"]} == {"1", "2"}
    assert sum(len(turn["words"]) for turn in body["utterances"]) == len(body["words"])
    starts = [word["start"] for word in body["words"]]
    assert starts == sorted(starts)
    assert starts[-1] < body["audio_duration"] * 1000
    found = http.json(f"/v2/transcript/{body['id']}/word-search", words="pipe burst")["matches"][0]
    assert found["count"] == 1
    srt = http.get(f"/v2/transcript/{body['id']}/srt").text
    assert srt.replace("\n", " ").count("pipe burst") == 1


def test_broken(http: Http) -> None:
    error = http.failure((RECORDINGS / "broken-recording.mp3").read_bytes())
    assert error.startswith("Transcoding failed. File does not appear to contain audio.")


def test_language(http: Http) -> None:
    response = http.create(audio_url="https://audio.example/a.mp3", language_code="es")
    assert response.status_code == 400
    assert "language_code 'es'" in response.json()["error"]
