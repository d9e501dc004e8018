"""Redacted audio: what can be heard in it, and how long it can be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local import bleep
from airflow_asr.local.decoding import SAMPLE_RATE, decode
from tests.local.http import Http, Json
from tests.local.receiver import Receiver

av = pytest.importorskip("av")

CONFIG: Json = {"redact_pii": True, "redact_pii_policies": ["phone_number"], "redact_pii_audio": True}
DAY_S = 24 * 3600


def write_tone(
    path: Path, seconds: float, *, channels: int = 1, rate: int = SAMPLE_RATE, codec: str = "pcm_s16le"
) -> Path:
    """Write a tone of 300 Hz on every channel."""
    time_s = np.arange(int(seconds * rate)) / rate
    tone = (np.sin(2 * np.pi * 300 * time_s) * 8000).astype(np.int16)
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, channels).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def loudness(sound: npt.NDArray[np.int16], start_ms: int, end_ms: int) -> float:
    """The highest sample of any channel in a part of sound at 16 kHz."""
    return float(np.abs(sound[:, start_ms * 16 : end_ms * 16].astype(np.int32)).max())


@pytest.mark.parametrize("quality", ["wav", "mp3"])
@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 16000), (2, 44100), (6, 48000), (8, 22050), (1, 96000)])
def test_spans_are_silent_on_all_channels(tmp_path: Path, channels: int, rate: int, quality: str) -> None:
    audio = write_tone(tmp_path / "audio.wav", 3, channels=channels, rate=rate)
    bleep.copy(audio, tmp_path / "copy", [(1000, 1500)], quality=quality, silence=True)
    sound = decode(tmp_path / "copy", mix=False)
    assert sound.shape[0] == (channels if quality == "wav" else min(channels, 2))
    assert sound.shape[1] / SAMPLE_RATE == pytest.approx(3, abs=0.1)
    assert loudness(sound, 900, 1600) < 200
    assert loudness(sound, 100, 800) > 2000
    assert loudness(sound, 1700, 2800) > 2000
    with av.open(str(tmp_path / "copy")) as container:
        assert container.streams.audio[0].codec_context.sample_rate == (rate if quality == "wav" else min(rate, 48000))
        assert container.format.name == quality


def test_a_beep_is_another_tone(tmp_path: Path) -> None:
    audio = write_tone(tmp_path / "audio.wav", 2)
    bleep.copy(audio, tmp_path / "copy", [(1000, 1500)], quality="wav", silence=False)
    sound = decode(tmp_path / "copy", mix=False)[0]
    beep = np.abs(np.fft.rfft(sound[16 * 1000 : 16 * 1500]))
    assert np.argmax(beep) / 0.5 == pytest.approx(1000, abs=4)
    assert beep[150] < beep.max() / 100  # Nothing is left of 300 Hz.
    assert np.array_equal(sound[: 16 * 800], decode(audio, mix=False)[0][: 16 * 800])


def test_compressed_and_damaged_audio_keeps_its_clock(tmp_path: Path) -> None:
    whole = write_tone(tmp_path / "audio.mp3", 6, rate=44100, codec="libmp3lame").read_bytes()
    half = tmp_path / "half.mp3"
    half.write_bytes(whole[: len(whole) // 2])
    bleep.copy(half, tmp_path / "copy", [(1000, 1500)], quality="wav", silence=True)
    before, after = decode(half, mix=False), decode(tmp_path / "copy", mix=False)
    assert before.shape[1] == pytest.approx(after.shape[1], abs=200)
    assert loudness(after, 900, 1600) == 0
    assert loudness(after, 1700, 2500) > 2000


SPANS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 900)), max_size=6)


@given(SPANS)
def test_all_spans_are_silent_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("bleep")
    audio = write_tone(directory / "audio.wav", 2)
    spans = [(start, start + length) for start, length in spans]
    bleep.copy(audio, directory / "copy", spans, quality="wav", silence=True)
    before, after = decode(audio, mix=False)[0], decode(directory / "copy", mix=False)[0]
    time_ms = np.arange(len(before)) / 16
    margin = bleep.MARGIN_MS
    hidden = np.zeros(len(before), bool)
    for start, end in spans:
        hidden |= (time_ms >= max(start - margin, 0)) & (time_ms < end + margin)
    assert np.array_equal(after, np.where(hidden, 0, before))


def heard(response: requests.Response, tmp_path: Path) -> npt.NDArray[np.int16]:
    assert response.status_code == 200, response.text
    file = tmp_path / "download"
    file.write_bytes(response.content)
    return decode(file, mix=False)


def ready(http: Http, transcript_id: str) -> str:
    body = http.json(f"/v2/transcript/{transcript_id}/redacted-audio")
    assert body.keys() == {"status", "redacted_audio_url"}
    assert body["status"] == "redacted_audio_ready"
    url: str = body["redacted_audio_url"]
    return url


def test_the_file_is_served_without_a_key(http: Http, tmp_path: Path) -> None:
    audio = write_tone(tmp_path / "audio.wav", 3)
    created = http.submit(audio.read_bytes(), **CONFIG)
    http.wait(created["id"])
    url = ready(http, created["id"])
    assert url.startswith(f"{http.server.url}/redacted-audio/{created['id']}.mp3?")
    response = requests.get(url, timeout=30)
    assert response.headers["Content-Type"] == "audio/mpeg"
    assert heard(response, tmp_path).shape[1] / SAMPLE_RATE == pytest.approx(3, abs=0.1)
    part = requests.get(url, headers={"Range": "bytes=0-9"}, timeout=30)
    assert (part.status_code, part.content) == (206, response.content[:10])


def test_a_key_besides_the_signature_is_refused(http: Http) -> None:
    url = ready(http, http.heard("Call 555-0134.", config=CONFIG)["id"])
    response = requests.get(url, headers={"Authorization": http.server.api_key}, timeout=30)
    assert response.status_code == 400
    assert "send no Authorization header" in response.json()["error"]


def test_urls_cannot_be_guessed(http: Http) -> None:
    url = ready(http, http.heard("Call 555-0134.", config=CONFIG)["id"])
    other = ready(http, http.heard("Call 555-0134.", config=CONFIG)["id"])
    plain, query = url.split("?")
    for wrong in (
        plain,
        f"{plain}?{other.split('?')[1]}",
        url[:-1] + ("1" if url[-1] == "0" else "0"),
        f"{plain}x?{query}",
    ):
        assert requests.get(wrong, timeout=30).status_code == 403
    later = url.replace("Expires=", "Expires=9")
    assert requests.get(later, timeout=30).status_code == 403


def test_what_the_echo_pretends_to_hear_is_redacted_too(http: Http, tmp_path: Path) -> None:
    config = {**CONFIG, "redact_pii_audio_quality": "wav"}
    body = http.heard("Call me at 555-0134 now.", seconds=5, config=config)
    sound = heard(requests.get(ready(http, body["id"]), timeout=30), tmp_path)
    assert sound.shape == (1, 5 * SAMPLE_RATE)
    (word,) = [word for word in body["words"] if "#" in word["text"]]
    assert loudness(sound, word["start"], word["end"]) > 1000
    assert loudness(sound, 0, word["start"] - bleep.MARGIN_MS - 1) == 0


def test_audio_that_is_not_ready_yet(http: Http) -> None:
    created = http.say("Call 555-0134.", process_s=1.5, config=CONFIG)
    response = http.get(f"/v2/transcript/{created['id']}/redacted-audio")
    assert response.status_code == 202
    assert response.json()["status"] != "redacted_audio_ready"
    http.wait(created["id"])
    assert ready(http, created["id"])


def unavailable(http: Http, transcript_id: str) -> str:
    response = http.get(f"/v2/transcript/{transcript_id}/redacted-audio")
    assert response.status_code == 400
    error: str = response.json()["error"]
    return error


def test_audio_that_never_will_be(http: Http) -> None:
    assert "not made with redact_pii_audio" in unavailable(http, http.heard()["id"])
    assert "did not fail" in unavailable(http, http.heard(error="Transcoding failed.", config=CONFIG)["id"])
    assert "somebody speaks" in unavailable(http, http.heard("", config=CONFIG)["id"])
    options = {"redact_pii_audio_options": {"return_redacted_no_speech_audio": True}}
    assert ready(http, http.heard("", config={**CONFIG, **options})["id"])
    assert "transcript id not found" in unavailable(http, "00000000-0000-4000-8000-000000000000")


def test_delete_removes_the_file(http: Http) -> None:
    body = http.heard("Call 555-0134.", config=CONFIG)
    url = ready(http, body["id"])
    http.call("DELETE", f"/v2/transcript/{body['id']}")
    unavailable(http, body["id"])
    assert requests.get(url, timeout=30).status_code == 404


def test_files_live_for_a_day(serve: Callable[..., Http]) -> None:
    http = serve()
    body = http.heard("Call 555-0134.", config=CONFIG)
    directory = http.server.data_dir / "redacted"
    http.server.forward(DAY_S - 60)
    url = ready(http, body["id"])
    assert requests.get(url, timeout=30).status_code == 200
    http.server.restart()
    assert requests.get(ready(http, body["id"]), timeout=30).status_code == 200
    http.server.forward(120)
    assert "24 hours" in unavailable(http, body["id"])
    assert requests.get(url, timeout=30).status_code == 403
    assert list(directory.iterdir()) == []
    assert http.transcript(body["id"])["text"] == "Call ########."
    later = http.heard("Call 555-0134.", config=CONFIG)  # A day by the clock of the server.
    assert ready(http, later["id"])


def test_the_second_webhook_has_the_url(http: Http) -> None:
    with Receiver() as receiver:
        http.heard("Call 555-0134.", config={**CONFIG, "webhook_url": receiver.url})
        bodies = [call.body for call in receiver.wait(2)]
    (second,) = [body for body in bodies if "transcript_id" not in body]
    assert second["status"] == "redacted_audio_ready"
    assert requests.get(second["redacted_audio_url"], timeout=30).status_code == 200


def test_no_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no sound")
    with pytest.raises(ValueError, match="Invalid data"):
        bleep.copy(tmp_path / "text", tmp_path / "copy", [], quality="wav", silence=True)
