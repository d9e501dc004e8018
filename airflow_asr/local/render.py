"""The JSON of transcripts, as the service writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from airflow_asr.local.engine import RecognisedWord, Recognition
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.store import COMPLETED, ERROR, QUEUED, Row

Word = dict[str, Any]

DELETED_TEXT = "Deleted by user."

# Fields that the service's schema requires, or allows to be null, and that are never used here.
_UNUSED: Mapping[str, Any] = {
    "acoustic_model": "assemblyai_default",
    "auto_chapters": False,
    "auto_highlights": False,
    "auto_highlights_result": None,
    "chapters": None,
    "content_safety": False,
    "content_safety_labels": None,
    "custom_spelling": None,
    "custom_topics": False,
    "disfluencies": False,
    "domain": None,
    "entities": None,
    "entity_detection": False,
    "filter_profanity": False,
    "iab_categories": False,
    "iab_categories_result": None,
    "language_codes": None,
    "language_confidence_threshold": None,
    "language_model": "assemblyai_default",
    "redact_pii": False,
    "redact_pii_audio": False,
    "redact_pii_audio_quality": None,
    "redact_pii_policies": None,
    "sentiment_analysis": False,
    "sentiment_analysis_results": None,
    "speaker_labels": False,
    "speakers_expected": None,
    "speech_model": None,
    "speech_threshold": None,
    "speed_boost": False,
    "summarization": False,
    "summary": None,
    "summary_model": None,
    "summary_type": None,
    "temperature": None,
    "webhook_auth": False,
    "webhook_auth_header_name": None,
    "webhook_status_code": None,
    "webhook_url": None,
}


def transcript(row: Row, result: Mapping[str, Any] | None) -> dict[str, Any]:
    """The full transcript. Fields that the schema does not let be null are left out until they have a value."""
    request = TranscriptRequest.from_json(row.request)
    body: dict[str, Any] = {
        "id": row.id,
        "status": row.status,
        "audio_url": row.audio_url,
        "text": None,
        "words": None,
        "utterances": None,
        "confidence": None,
        "audio_duration": None,
        **_UNUSED,
        "punctuate": request.punctuate,
        "format_text": request.format_text,
        "multichannel": request.multichannel,
        "audio_start_from": request.audio_start_from,
        "audio_end_at": request.audio_end_at,
        "language_detection": request.language_code is None,
        "language_confidence": None,
        "speech_models": None if request.speech_models is None else list(request.speech_models),
        "throttled": row.status == QUEUED,
    }
    if request.language_code is not None:
        body["language_code"] = request.language_code
    if row.status == ERROR:
        body["error"] = row.error
    if row.deleted:
        body["text"] = DELETED_TEXT
    elif row.status == COMPLETED and result is not None:
        body.update(result)
    return body


def list_item(row: Row, base_url: str) -> dict[str, Any]:
    """A row of the list. ``error`` is an empty string, not null, where there is none: so it is at the service."""
    return {
        "id": row.id,
        "resource_url": f"{base_url}/v2/transcript/{row.id}",
        "status": row.status,
        "created": row.created,
        "completed": row.completed,
        "audio_url": row.audio_url,
        "error": row.error or "",
    }


def result(heard: Recognition, request: TranscriptRequest, model: str) -> str:
    """The fields that a finished transcript has more than a waiting one, as JSON for the store."""
    words = _words(heard, request)
    body: dict[str, Any] = {
        "text": joined(words),
        "words": words,
        "confidence": mean_confidence(words),
        "audio_duration": round(heard.duration_s),
        "language_code": heard.language_code,
        "language_confidence": heard.language_confidence,
        "speech_model_used": model,
    }
    if request.multichannel:
        body["utterances"] = _utterances(words)
        body["audio_channels"] = len(heard.channels)
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


def joined(words: Iterable[Word]) -> str:
    """The text of words."""
    return " ".join(word["text"] for word in words)


def mean_confidence(words: Sequence[Word]) -> float:
    """The mean confidence of words; 0 where nobody spoke, so that it stays a number."""
    return round(sum(word["confidence"] for word in words) / len(words), 5) if words else 0.0


def span(words: Sequence[Word]) -> dict[str, Any]:
    """What sentences, paragraphs and utterances have in common: text, times in ms, confidence and words."""
    return {
        "text": joined(words),
        "start": words[0]["start"],
        "end": max(word["end"] for word in words),
        "confidence": mean_confidence(words),
        "words": list(words),
    }


def _words(heard: Recognition, request: TranscriptRequest) -> list[Word]:
    words = [
        _word(word, text, str(number) if request.multichannel else None)
        for number, channel in enumerate(heard.channels, start=1)
        for word in channel
        if (text := _written(word.text, request))
    ]
    if request.multichannel:
        words.sort(key=lambda word: (word["start"], word["channel"]))
    return words


def _word(word: RecognisedWord, text: str, channel: str | None) -> Word:
    body: Word = {
        "text": text,
        "start": word.start_ms,
        "end": word.end_ms,
        "confidence": round(word.confidence, 5),
        "speaker": channel,
    }
    if channel is not None:
        body["channel"] = channel
    return body


def _written(text: str, request: TranscriptRequest) -> str:
    """A word as it shall be written; empty if it was only punctuation and none is wanted."""
    if not request.punctuate:
        text = without_punctuation(text)
    return text if request.format_text else text.lower()


def without_punctuation(text: str) -> str:
    """A word without the signs around it; those inside (``don't``, ``3.5``) belong to it."""
    first, last = 0, len(text)
    while first < last and not text[first].isalnum():
        first += 1
    while last > first and not text[last - 1].isalnum():
        last -= 1
    return text[first:last]


def _utterances(words: Iterable[Word]) -> list[dict[str, Any]]:
    """Runs of words of one channel."""
    turns = []
    for channel, run in groupby(words, key=lambda word: word["channel"]):
        turns.append({**span(list(run)), "speaker": channel, "channel": channel})
    return turns
