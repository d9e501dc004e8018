"""The words of a transcript, and the text that they make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_asr.local.engine import RecognisedWord, Recognition

# As in the service's JSON: text, start, end (ms), confidence, speaker, and channel if there are several.
Word = dict[str, Any]

# Signs that belong to what they stand at, unlike punctuation: $94.50, 18%, +44, @name.
_SIGNS = frozenset("$€£¥%°@#+*&")


def joined(words: Iterable[Word]) -> str:
    """The text of words."""
    return " ".join(word["text"] for word in words)


def spoken(heard: Recognition, *, multichannel: bool, punctuate: bool, format_text: bool) -> list[list[Word]]:
    """The words of each channel, as they shall be written."""
    return [
        [
            _word(word, text, str(number) if multichannel else None)
            for word in channel
            if (text := _written(word.text, punctuate=punctuate, format_text=format_text))
        ]
        for number, channel in enumerate(heard.channels, start=1)
    ]


def in_time_order(channels: Iterable[Iterable[Word]]) -> list[Word]:
    """The words of all channels in the order in which they were said."""
    words = [word for channel in channels for word in channel]
    return sorted(words, key=lambda word: (word["start"], word.get("channel", "")))


def parts(text: str) -> tuple[str, str, str]:
    """The punctuation before a word, the word itself, and the punctuation after it."""
    first, last = 0, len(text)
    while first < last and not _belongs(text[first]):
        first += 1
    while last > first and not _belongs(text[last - 1]):
        last -= 1
    return text[:first], text[first:last], text[last:]


def without_punctuation(text: str) -> str:
    """A word without the signs around it; those inside (``don't``, ``3.5``) belong to it."""
    first, last = 0, len(text)
    while first < last and not text[first].isalnum():
        first += 1
    while last > first and not text[last - 1].isalnum():
        last -= 1
    return text[first:last]


def _belongs(character: str) -> bool:
    return character.isalnum() or character in _SIGNS


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


def _written(text: str, *, punctuate: bool, format_text: bool) -> str:
    """A word as it shall be written; empty if it was only punctuation and none is wanted."""
    if not punctuate:
        text = parts(text)[1] if any(character.isalnum() for character in text) else ""
    return text if format_text else text.lower()
