"""What the next task gets: small, plain, and enough to find the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypedDict

from airflow_asr.api.redaction import redact_url
from airflow_asr.api.transcript import Transcript
from airflow_asr.api.utterances import objects

# Encoded JSON of a whole summary with its text. XCom lives in the metadata database.
INLINE_TEXT_BYTES = 8 * 1024
_LONGEST_LABEL = 100
_LONGEST_AUDIO = 2500  # So that a summary stays under 16 KB with any name; outputs have a limit of their own.


class TranscriptSummary(TypedDict):
    """A transcript in a few hundred bytes. It is a plain dict, because Airflow reads back no class of ours.

    ``text`` is ``None`` if it would make the summary larger than ``INLINE_TEXT_BYTES``; read it with the hook then.
    ``outputs`` maps a format to the URI of the file that holds it.
    """

    transcript_id: str
    status: str
    audio: str | None
    audio_duration_s: float | None
    confidence: float | None
    language_code: str | None
    speech_model_used: str | None
    word_count: int
    outputs: dict[str, str]
    fingerprint: str | None
    text: str | None


def summarise(
    transcript: Transcript,
    *,
    audio: str | None = None,
    fingerprint: str | None = None,
    outputs: Mapping[str, str] | None = None,
    inline_text_bytes: int = INLINE_TEXT_BYTES,
) -> TranscriptSummary:
    """Return the summary of a transcript.

    Args:
        transcript: a transcript that has ended.
        audio: the audio's name, if the caller knows it; otherwise the URL that was transcribed, fit to be shown.
        fingerprint: that of service, audio and parameters, if the caller knows it.
        outputs: format to URI of what is written of it.
        inline_text_bytes: bytes of encoded JSON that the summary may have with its text in it.
    """
    summary = TranscriptSummary(
        transcript_id=transcript.id,
        status=transcript.status,
        audio=_short(redact_url(audio) if audio else transcript.shown_audio_url),
        audio_duration_s=transcript.audio_duration_s,
        confidence=transcript.confidence,
        language_code=_label(transcript.language_code),
        speech_model_used=_label(transcript.speech_model_used),
        word_count=len(objects(transcript.raw.get("words")) or transcript.text.split()),
        outputs=dict(outputs or {}),
        fingerprint=fingerprint,
        text=_storable(transcript.text),
    )
    return fitting(summary, inline_text_bytes)


def fitting(summary: TranscriptSummary, inline_text_bytes: int = INLINE_TEXT_BYTES) -> TranscriptSummary:
    """Return the summary without its text, if it is too large with it."""
    return summary if len(json.dumps(summary)) <= inline_text_bytes else {**summary, "text": None}


def _storable(text: str) -> str:
    """Return a text as every database takes it: PostgreSQL refuses a NUL and half a character in JSON."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _label(text: str | None) -> str | None:
    """Return the name of a language or a model; it is short."""
    return None if text is None else _storable(text[:_LONGEST_LABEL])


def _short(name: str | None) -> str | None:
    """Return a name, or the end of it if it is very long as JSON, where a letter of some scripts takes six bytes."""
    name = None if name is None else _storable(name)
    while name is not None and len(json.dumps(name)) > _LONGEST_AUDIO:
        name = "…" + name[len(name) // 4 :]
    return name
