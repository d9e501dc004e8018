from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.results import INLINE_TEXT_BYTES, TranscriptSummary, summarise

SIGNED = "https://bucket.example/a.wav?X-Amz-Signature=SECRET"


def transcript(**fields: Any) -> Transcript:
    return Transcript({"id": "t-1", "status": "completed", **fields})


def test_a_summary_holds_what_the_next_task_needs() -> None:
    word = {"text": "Hello.", "start": 0, "end": 1, "confidence": 1.0}
    summary = summarise(
        transcript(
            text="Hello there.",
            words=[word, word],
            audio_duration=12,
            confidence=0.93,
            language_code="en_us",
            speech_model_used="of-today",
        ),
        audio="/data/a.wav",
    )
    assert summary == {
        "transcript_id": "t-1",
        "status": "completed",
        "audio": "/data/a.wav",
        "audio_duration_s": 12,
        "confidence": 0.93,
        "language_code": "en_us",
        "speech_model_used": "of-today",
        "word_count": 2,
        "outputs": {},
        "fingerprint": None,
        "text": "Hello there.",
    }


def test_silence_is_a_result() -> None:
    summary = summarise(transcript(text=None, words=[]))
    assert summary["text"] == ""
    assert summary["word_count"] == 0


def test_words_are_counted_in_the_text_where_the_service_lists_none() -> None:
    assert summarise(transcript(text="three little words"))["word_count"] == 3


@pytest.mark.parametrize("audio", [None, SIGNED])
def test_the_audio_is_named_without_what_grants_access(audio: str | None) -> None:
    summary = summarise(transcript(audio_url=SIGNED), audio=audio)
    assert summary["audio"] == "https://bucket.example/a.wav?[hidden]"
    assert "SECRET" not in json.dumps(summary)


def test_an_upload_is_named_without_what_grants_access() -> None:
    summary = summarise(transcript(audio_url="https://cdn.assemblyai.com/upload/SECRET"))
    assert summary["audio"] == "https://cdn.assemblyai.com/upload/[hidden]"


def test_what_postgresql_does_not_take_is_replaced_so_that_a_paid_transcript_can_be_handed_over() -> None:
    said = "a\0b\ud800c 👩"
    summary = summarise(transcript(text=said, language_code=said), audio=f"/data/{said}.wav")
    assert summary["text"] == summary["language_code"] == "a\ufffdb?c 👩"
    assert summary["audio"] == "/data/a\ufffdb?c 👩.wav"


@given(st.text(st.sampled_from('aé日😀\n" \x00'), max_size=200).map(lambda part: part * 150))
def test_a_text_is_in_the_summary_whole_or_not_at_all_and_the_summary_stays_small(text: str) -> None:
    summary = summarise(transcript(text=text))
    size = len(json.dumps(summary).encode())
    assert size <= INLINE_TEXT_BYTES
    assert summary["text"] in (text.replace("\0", "\ufffd"), None)
    if summary["text"] is None:
        with_text: TranscriptSummary = {**summary, "text": text}  # type: ignore[typeddict-item, unused-ignore]
        assert len(json.dumps(with_text)) > INLINE_TEXT_BYTES


@given(st.text(max_size=100))
def test_a_summary_is_the_same_after_a_trip_through_json(text: str) -> None:
    summary = summarise(transcript(text=text))
    assert type(summary) is dict
    assert json.loads(json.dumps(summary)) == summary


def test_text_can_be_kept_out_altogether() -> None:
    assert summarise(transcript(text="Hello."), inline_text_bytes=0)["text"] is None
