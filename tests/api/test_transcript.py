from __future__ import annotations

from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.pages import TranscriptListItem, parse_time
from airflow_asr.api.transcript import Transcript, TranscriptStatus, Utterance, Word

UPLOADED = "https://cdn.assemblyai.com/upload/SECRET"


def transcript(**fields: Any) -> Transcript:
    return Transcript({"id": "t-1", "status": "completed", **fields})


def test_a_transcript_of_nothing_but_id_and_status_can_be_read() -> None:
    bare = transcript()
    assert (bare.id, bare.status, bare.text) == ("t-1", "completed", "")
    assert not bare.words
    assert not bare.utterances
    nothing = (bare.error, bare.audio_url, bare.shown_audio_url, bare.audio_duration_s, bare.confidence)
    assert nothing == (None, None, None, None, None)
    assert (bare.language_code, bare.speech_model_used) == (None, None)
    assert not bare.deleted


@pytest.mark.parametrize("field", ["text", "error", "words", "utterances", "audio_url", "confidence"])
def test_null_is_the_same_as_left_out(field: str) -> None:
    name = {"confidence": "confidence"}.get(field, field)
    assert getattr(transcript(**{field: None}), name) == getattr(transcript(), name)


@pytest.mark.parametrize(
    ("status", "ended"),
    [("queued", False), ("processing", False), ("completed", True), ("error", True), ("of_tomorrow", False)],
)
def test_a_status_that_is_not_known_is_not_an_end(status: str, ended: bool) -> None:
    assert Transcript({"id": "t-1", "status": status}).ended is ended
    assert (status in TranscriptStatus.KNOWN) is (status != "of_tomorrow")


@pytest.mark.parametrize("none", [None, ""])
def test_both_ways_to_write_no_error(none: str | None) -> None:
    assert transcript(error=none).error is None
    assert TranscriptListItem({"id": "t-1", "status": "completed", "error": none}).error is None


def test_a_reason_is_given_as_the_service_wrote_it() -> None:
    assert Transcript({"id": "t-1", "status": "error", "error": "Transcoding failed"}).error == "Transcoding failed"


@pytest.mark.parametrize(
    ("fields", "deleted"),
    [
        ({"text": "Deleted by user."}, True),
        ({"audio_url": "http://deleted_by_user"}, True),
        ({"text": "Deleted by user, he said."}, False),
        ({"text": "", "audio_url": "https://example.org/a.wav"}, False),
    ],
)
def test_deleted_content_is_recognised_though_its_status_stays_completed(fields: dict[str, str], deleted: bool) -> None:
    assert transcript(**fields).deleted is deleted


def test_what_is_shown_of_the_audio_grants_no_access() -> None:
    assert transcript(audio_url=UPLOADED).audio_url == UPLOADED
    assert transcript(audio_url=UPLOADED).shown_audio_url == "https://cdn.assemblyai.com/upload/[hidden]"
    assert "SECRET" not in repr(transcript(audio_url=UPLOADED))
    assert "SECRET" not in repr(TranscriptListItem({"id": "t-1", "status": "queued", "audio_url": UPLOADED}))


def test_words_and_utterances_keep_order_times_and_speakers() -> None:
    word = {"text": "Hello.", "start": 240, "end": 810, "confidence": 0.9}
    turn = {**word, "speaker": "A", "words": [word]}
    read = transcript(words=[word, {**word, "speaker": "B", "channel": "2", "of_tomorrow": 1}], utterances=[turn])
    assert list(read.words) == [
        Word("Hello.", 240, 810, 0.9, None, None),
        Word("Hello.", 240, 810, 0.9, "B", "2"),
    ]
    assert list(read.utterances) == [
        Utterance("Hello.", 240, 810, 0.9, "A", None, [Word("Hello.", 240, 810, 0.9, "A", None)])
    ]
    assert read.utterances[0].duration_ms == 570


def test_an_utterance_that_ends_before_it_starts_lasts_no_negative_time() -> None:
    assert Utterance("x", 500, 400, 1.0, None, None).duration_ms == 0


@pytest.mark.parametrize(
    "text", ["2026-06-10T15:38:19.123723Z", "2026-06-10T15:38:19.123723", "2026-06-10T17:38:19.123723+02:00"]
)
def test_times_without_a_zone_are_utc(text: str) -> None:
    assert parse_time(text) == pendulum.datetime(2026, 6, 10, 15, 38, 19, 123723)


@pytest.mark.parametrize("text", ["", "junk", "2026-13-40", "P1D"])
def test_what_is_no_time_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


@given(st.datetimes(min_value=pendulum.naive(2000, 1, 1), max_value=pendulum.naive(2100, 1, 1)), st.booleans())
def test_every_time_that_the_service_can_write_is_read(moment: Any, with_zone: bool) -> None:
    assert parse_time(moment.isoformat() + ("Z" if with_zone else "")) == pendulum.instance(moment, tz="UTC")


def test_a_row_that_never_completed_has_no_time_of_completion() -> None:
    row = TranscriptListItem({"id": "t-1", "status": "error", "created": "2026-06-10T15:38:19", "completed": None})
    assert row.completed is None
    assert row.created.year == 2026
    done = TranscriptListItem({**row.raw, "completed": "2026-06-10T15:39:19Z"})
    assert done.completed is not None
    assert (done.completed - done.created).total_seconds() == 60
