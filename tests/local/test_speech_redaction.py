"""Redaction and key terms with the real recogniser: what was redacted cannot be heard any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from airflow_asr.local.testing import LocalServer
from tests.local.http import Http

pytest.importorskip("faster_whisper")

pytestmark = pytest.mark.speech

RECORDINGS = Path(__file__).parents[2] / "demo" / "recordings"
CLINIC = RECORDINGS / "call-05-clinic-appointment.ogg"
OUTAGE = RECORDINGS / "call-06-internet-outage.mp3"


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with LocalServer(engine="whisper", concurrency=2) as server, Http(server) as client:
        yield client


def test_a_date_of_birth_is_neither_read_nor_heard(http: Http) -> None:
    audio_url = http.upload(CLINIC.read_bytes())
    config = {
        "multichannel": True,
        "redact_pii": True,
        "redact_pii_policies": ["date_of_birth"],
        "redact_pii_sub": "entity_name",
        "redact_pii_audio": True,
    }
    body = http.wait(http.submit(audio_url, **config)["id"], seconds=120)
    assert "[DATE_OF_BIRTH]" in body["text"]
    assert "1982" not in body["text"]
    assert "Friday at 10" in body["text"]

    url = http.json(f"/v2/transcript/{body['id']}/redacted-audio")["redacted_audio_url"]
    redacted = requests.get(url, timeout=30).content
    again = http.wait(http.submit(redacted, multichannel=True)["id"], seconds=120)
    assert again["audio_channels"] == 2
    assert again["audio_duration"] == body["audio_duration"]
    assert "1982" not in again["text"]
    assert "May" not in again["text"]
    assert "What is your date of birth" in again["text"]
    assert "Friday at 10" in again["text"]


def test_key_terms_are_spelled_as_they_are_given(http: Http) -> None:
    audio_url = http.upload(OUTAGE.read_bytes())
    config = {"audio_end_at": 9000, "keyterms_prompt": ["Lora", "technical support"]}
    plain = http.submit(audio_url, audio_end_at=9000)
    prompted = http.submit(audio_url, **config)
    assert "my name is Laura" in http.wait(plain["id"], seconds=120)["text"]
    assert "my name is Lora" in http.wait(prompted["id"], seconds=120)["text"]


def test_more_key_terms_than_the_model_takes_note_of_are_refused(http: Http) -> None:
    response = http.create(audio_url="https://audio.example/a.mp3", keyterms_prompt=["Northgate Parcels"] * 100)
    assert response.status_code == 400
    assert "takes note of 223 tokens of keyterms_prompt at most" in response.json()["error"]
