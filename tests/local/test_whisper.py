"""The real recogniser on the real samples: what it hears, when, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import wave
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_whisper")

from airflow_asr.local.decoding import SAMPLE_RATE, decode
from airflow_asr.local.engine import AudioError, RecognisedWord, RecognitionRequest, UnsupportedLanguageError
from airflow_asr.local.weights import PACKAGED_SHA256, ModelError, check_weights, packaged_weights
from airflow_asr.local.whisper import WhisperEngine, pieces

pytestmark = pytest.mark.speech

RECORDINGS = Path(__file__).parents[2] / "demo" / "recordings"
PARCEL = RECORDINGS / "call-01-missed-delivery.mp3"
PIPE = RECORDINGS / "call-04-burst-pipe.wav"
CLINIC = RECORDINGS / "call-05-clinic-appointment.ogg"
BROKEN = RECORDINGS / "broken-recording.mp3"

NO_AUDIO = "Transcoding failed. File does not appear to contain audio. File type is "


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    return WhisperEngine(workers=2)


def text(words: Iterable[RecognisedWord]) -> str:
    """What was heard, without the capitals and commas about which a small model changes its mind."""
    return re.sub(r"[^a-z' ]", "", " ".join(word.text for word in words).lower())


def write_wav(path: Path, seconds: float, *, channels: int = 1, rate: int = SAMPLE_RATE) -> Path:
    """Write silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * channels * int(seconds * rate)))
    return path


def assert_in_order(words: Sequence[RecognisedWord], start_ms: int, end_ms: int) -> None:
    assert all(start_ms <= word.start_ms <= word.end_ms <= end_ms for word in words)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(words))
    assert all(0 <= word.confidence <= 1 for word in words)


def test_a_call_is_heard(engine: WhisperEngine) -> None:
    result = engine.recognise(PARCEL, RecognitionRequest())

    (words,) = result.channels
    heard = text(words)
    assert "would you like us to try again tomorrow morning" in heard
    assert "please tell the driver to knock loudly" in heard
    assert result.duration_s == pytest.approx(47.4, abs=0.1)
    assert (result.language_code, result.language_confidence) == ("en_us", None)
    assert_in_order(words, 0, 47_400)
    assert all(re.fullmatch(r"\S*\w\S*", word.text) for word in words)
    assert engine.name == "whisper-tiny.en"


def test_each_channel_holds_the_words_of_its_speaker(engine: WhisperEngine) -> None:
    result = engine.recognise(CLINIC, RecognitionRequest("en_uk", multichannel=True))

    agent, customer = result.channels
    assert "what is your date of birth" in text(agent)
    assert "take a blood sample" in text(agent)
    assert "empty stomach" in text(customer)
    assert "empty stomach" not in text(agent)
    assert "blood sample" not in text(customer)
    assert result.language_code == "en_uk"
    for words in result.channels:
        assert_in_order(words, 0, round(result.duration_s * 1000))
    # The agent speaks first and last, with times of the whole file in both channels.
    assert agent[0].start_ms < customer[0].start_ms < customer[-1].end_ms < agent[-1].end_ms


def test_a_cut_keeps_the_times_of_the_whole_file(engine: WhisperEngine) -> None:
    result = engine.recognise(PIPE, RecognitionRequest(start_ms=9_800, end_ms=14_400))

    (words,) = result.channels
    assert "is the water turned off" in text(words)
    assert "claims department" not in text(words)
    assert_in_order(words, 9_800, 14_400)
    assert result.duration_s == pytest.approx(41.4, abs=0.1)


def test_long_audio_is_cut_where_nobody_speaks(engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_asr.local.whisper.PIECE_S", 15)
    monkeypatch.setattr("airflow_asr.local.whisper.SEARCH_S", 8)

    result = engine.recognise(PIPE, RecognitionRequest())

    heard = text(result.channels[0])
    for phrase in ("the floor is ruined", "helped me to close the main valve", "pictures and a short video"):
        assert phrase in heard
    assert heard.endswith("don't throw away any receipts")
    assert_in_order(result.channels[0], 0, 41_430)


def test_pieces_are_whole_and_end_in_silence() -> None:
    sound = np.full(25 * 60 * SAMPLE_RATE, 1000, np.int16)
    quiet = 295 * SAMPLE_RATE
    sound[quiet : quiet + SAMPLE_RATE] = 0

    cuts = list(pieces(sound, 0, len(sound)))

    assert cuts[0][0] == 0
    assert cuts[-1][1] == len(sound)
    assert all(before[1] == after[0] for before, after in pairwise(cuts))
    assert all(0 < end - start <= 300 * SAMPLE_RATE for start, end in cuts)
    assert quiet < cuts[0][1] < quiet + SAMPLE_RATE
    assert list(pieces(sound, 100, 50_000)) == [(100, 50_000)]


def test_two_threads_hear_what_one_hears(engine: WhisperEngine) -> None:
    requests = [RecognitionRequest(start_ms=0, end_ms=12_000), RecognitionRequest(start_ms=12_000, end_ms=24_000)]
    alone = [engine.recognise(PIPE, request).channels for request in requests]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda request: engine.recognise(PIPE, request).channels, requests))
    assert together == alone


def test_silence_is_no_error(engine: WhisperEngine, tmp_path: Path) -> None:
    silence = write_wav(tmp_path / "silence.wav", 3, channels=2)
    result = engine.recognise(silence, RecognitionRequest(multichannel=True))
    assert result.channels == ((), ())
    assert result.duration_s == pytest.approx(3)


@pytest.mark.parametrize(
    ("seconds", "request_"),
    [
        (0.15, RecognitionRequest()),
        (1.0, RecognitionRequest(start_ms=900)),
        (1.0, RecognitionRequest(start_ms=500, end_ms=400)),
        (1.0, RecognitionRequest(start_ms=5_000)),
    ],
)
def test_too_little_audio(engine: WhisperEngine, tmp_path: Path, seconds: float, request_: RecognitionRequest) -> None:
    with pytest.raises(AudioError, match=r"^Audio duration is too short$"):
        engine.recognise(write_wav(tmp_path / "short.wav", seconds), request_)


def test_a_broken_file_has_the_services_error(engine: WhisperEngine) -> None:
    with pytest.raises(AudioError) as caught:
        engine.recognise(BROKEN, RecognitionRequest())
    assert str(caught.value) == NO_AUDIO + "application/octet-stream (data)"


@pytest.mark.parametrize(
    ("content", "file_type"),
    [
        (b"", "application/x-empty (empty)"),
        (b"\n<!DOCTYPE html><html><body>Please sign in</body></html>", "text/html (HTML document)"),
        (b'{"error": "not found"}', "text/plain (text)"),
        (b"PK\x03\x04" + bytes(100), "application/zip (Zip archive data)"),
    ],
)
def test_what_is_no_audio_is_called_by_its_name(tmp_path: Path, content: bytes, file_type: str) -> None:
    audio = tmp_path / "download.mp3"
    audio.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        decode(audio, mix=True)
    assert str(caught.value) == NO_AUDIO + file_type


def test_a_truncated_file_gives_what_is_left(tmp_path: Path) -> None:
    half = tmp_path / "half.mp3"
    half.write_bytes(PARCEL.read_bytes()[: PARCEL.stat().st_size // 2])
    assert 20 < decode(half, mix=True).shape[1] / SAMPLE_RATE < 25


def test_files_of_different_formats_can_be_joined(tmp_path: Path) -> None:
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(PARCEL.read_bytes() + (RECORDINGS / "call-06-internet-outage.mp3").read_bytes())
    assert decode(joined, mix=False).shape[0] == 2
    assert decode(joined, mix=True).shape[1] / SAMPLE_RATE == pytest.approx(47.4 + 54.0, abs=0.5)


def test_a_playlist_cannot_name_other_files(tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:50\n#EXTINF:48,\n{PARCEL.as_uri()}\n#EXT-X-ENDLIST\n")
    with pytest.raises(AudioError):
        decode(playlist, mix=True)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_each_channel_of_a_file_is_kept_or_mixed(tmp_path: Path, channels: int) -> None:
    audio = write_wav(tmp_path / "audio.wav", 0.5, channels=channels, rate=8_000)
    assert decode(audio, mix=False).shape == (channels, SAMPLE_RATE // 2)
    assert decode(audio, mix=True).shape == (1, SAMPLE_RATE // 2)


def test_more_channels_than_ffmpeg_can_mix_are_refused(tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "audio.wav", 0.5, channels=10)
    with pytest.raises(AudioError, match="File has 10 channels"):
        decode(audio, mix=False)


@pytest.mark.parametrize("code", [None, "en", "en_us", "en_uk", "en_au", "en-GB"])
def test_english_is_accepted_however_it_is_written(engine: WhisperEngine, code: str | None) -> None:
    engine.check(RecognitionRequest(code))


def test_another_language_is_refused_with_a_remedy(engine: WhisperEngine) -> None:
    request = RecognitionRequest("es")
    with pytest.raises(UnsupportedLanguageError, match=r"'es'.*--model base"):
        engine.check(request)
    with pytest.raises(UnsupportedLanguageError):
        engine.recognise(PIPE, request)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(packaged_weights(), copy)
    check_weights(copy)

    weights = copy / "model.bin"
    with weights.open("r+b") as file:
        file.seek(40_000_000)
        (byte,) = file.read(1)
        file.seek(40_000_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(ModelError, match=r"model\.bin has SHA-256 .* Install it again"):
        check_weights(copy)

    weights.unlink()
    with pytest.raises(ModelError, match=r"cannot be read.*model\.bin"):
        check_weights(copy)


def test_all_files_of_the_model_are_checked() -> None:
    assert {path.name for path in packaged_weights().iterdir() if path.is_file()} == set(PACKAGED_SHA256)


def test_a_model_that_is_none_is_refused_with_a_remedy(tmp_path: Path) -> None:
    for model in (str(tmp_path), "no-such-model"):
        with pytest.raises(ModelError, match=r"cannot be loaded: .*--model"):
            WhisperEngine(model)


def test_every_recording_has_its_script() -> None:
    calls = json.loads((RECORDINGS / "scripts.json").read_text(encoding="utf-8"))["calls"]
    assert {call["file"] for call in calls} == {path.name for path in RECORDINGS.glob("call-*")}
