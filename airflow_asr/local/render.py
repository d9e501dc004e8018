"""The JSON of transcripts, as the service writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from airflow_asr.local.engine import Recognition
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.store import COMPLETED, ERROR, QUEUED, Row
from airflow_asr.local.transcribed import Transcribed
from airflow_asr.local.words import Word, joined

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
    "custom_topics": False,
    "domain": None,
    "entities": None,
    "entity_detection": False,
    "iab_categories": False,
    "iab_categories_result": None,
    "language_codes": None,
    "language_confidence_threshold": None,
    "language_model": "assemblyai_default",
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
        "webhook_auth": request.webhook_auth_header_name is not None,
        "webhook_auth_header_name": request.webhook_auth_header_name,
        "webhook_status_code": row.webhook_status_code,
        "webhook_url": request.webhook_url,
        "custom_spelling": request.custom_spelling,
        "disfluencies": request.disfluencies,
        "filter_profanity": request.filter_profanity,
        "redact_pii": request.redact_pii,
        "redact_pii_policies": request.redact_pii_policies,
        "redact_pii_audio": request.redact_pii_audio,
        "redact_pii_audio_quality": request.redact_pii_audio_quality if request.redact_pii_audio else None,
        "redact_pii_return_unredacted": request.redact_pii_return_unredacted,
        **_not_null(request),
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


def _not_null(request: TranscriptRequest) -> dict[str, Any]:
    """Parameters that the schema lets be absent, but not null. Static entities are not in it at all."""
    body: dict[str, Any] = {}
    if request.keyterms_prompt is not None:
        body["keyterms_prompt"] = request.keyterms_prompt
    if request.redact_pii:
        body["redact_pii_sub"] = request.redact_pii_sub
    if request.redact_pii_audio_options is not None:
        body["redact_pii_audio_options"] = request.redact_pii_audio_options
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


def result(heard: Recognition, said: Transcribed, request: TranscriptRequest, model: str) -> str:
    """The fields that a finished transcript has more than a waiting one, as JSON for the store."""
    words = said.words
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
    if request.redact_pii_return_unredacted:
        body["unredacted_text"] = joined(said.unredacted)
        body["unredacted_words"] = said.unredacted
        body["unredacted_utterances"] = _utterances(said.unredacted) if request.multichannel else None
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


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


def _utterances(words: Iterable[Word]) -> list[dict[str, Any]]:
    """Runs of words of one channel."""
    turns = []
    for channel, run in groupby(words, key=lambda word: word["channel"]):
        turns.append({**span(list(run)), "speaker": channel, "channel": channel})
    return turns
