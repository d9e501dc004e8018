"""From what the recogniser heard to the words of the transcript."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_asr.local import pii, transforms
from airflow_asr.local.engine import Recognition
from airflow_asr.local.params import TranscriptRequest
from airflow_asr.local.words import Word, in_time_order, spoken


@dataclass(frozen=True)
class Transcribed:
    """The words of all channels, in the order in which they were said.

    Attributes:
        words: as the transcript shows them.
        unredacted: the same words before personal data was redacted.
        redacted_ms: when redacted words were said: start and end in milliseconds, in the order of their start.
    """

    words: list[Word]
    unredacted: list[Word]
    redacted_ms: list[tuple[int, int]]


def transcribed(heard: Recognition, request: TranscriptRequest) -> Transcribed:
    """The words as the request wants them."""
    channels = spoken(
        heard, multichannel=request.multichannel, punctuate=request.punctuate, format_text=request.format_text
    )
    english = heard.language_code.partition("_")[0] == "en"
    words = in_time_order(_transformed(channel, request, english=english) for channel in channels)
    if not request.redact_pii:
        return Transcribed(words, words, [])
    terms = pii.find_terms(words, request.redact_static_entities or {})
    patterns = pii.find(words, request.redact_pii_policies or (), heard.language_code)
    found = [term or pattern for term, pattern in zip(terms, patterns, strict=True)]
    return Transcribed(pii.redacted(words, found, request.redact_pii_sub), words, pii.spans(words, found))


def _transformed(words: list[Word], request: TranscriptRequest, *, english: bool) -> list[Word]:
    if english and not request.disfluencies:  # "Um" and "er" are words of German.
        words = transforms.without_fillers(words)
    if request.custom_spelling:
        words = transforms.respelled(words, request.custom_spelling)
    if english and request.filter_profanity:
        words = transforms.without_profanity(words)
    return words
