"""Subtitles from words.

Libraries that write SRT and VTT exist; they take ready captions, and making those is nearly all of the work here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from airflow_asr.local.sentences import split
from airflow_asr.local.words import Word, joined

DEFAULT_CHARS_PER_CAPTION = 128

_LONG_GAP_MS = 2000
_SHORTEST_MS = 800


@dataclass(frozen=True)
class Caption:
    """A line of text and when it is shown, in milliseconds."""

    start_ms: int
    end_ms: int
    text: str


def srt(words: Iterable[Word], chars_per_caption: int = DEFAULT_CHARS_PER_CAPTION) -> str:
    """Captions as a SubRip file."""
    blocks = [
        f"{number}\n{_clock(caption.start_ms, ',')} --> {_clock(caption.end_ms, ',')}\n{caption.text}\n"
        for number, caption in enumerate(captions(words, chars_per_caption), start=1)
    ]
    return "\n".join(blocks)


def vtt(words: Iterable[Word], chars_per_caption: int = DEFAULT_CHARS_PER_CAPTION) -> str:
    """Captions as a WebVTT file."""
    blocks = [
        f"{_clock(caption.start_ms, '.')} --> {_clock(caption.end_ms, '.')}\n{_escaped(caption.text)}\n"
        for caption in captions(words, chars_per_caption)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def captions(words: Iterable[Word], chars_per_caption: int) -> list[Caption]:
    """Every word in one caption of at most ``chars_per_caption`` characters; a longer word has one to itself.

    They are in the order of their start. Those of one channel do not overlap.
    """
    pieces = [piece for sentence in split(words) for piece in _pieces(sentence, chars_per_caption)]
    pieces.sort(key=lambda piece: piece[0]["start"])
    following = [piece[0]["start"] for piece in pieces[1:]]
    return [
        Caption(piece[0]["start"], _shown_until(piece, next_ms), joined(piece))
        for piece, next_ms in zip_longest(pieces, following)
    ]


def _shown_until(piece: Sequence[Word], next_ms: int | None) -> int:
    """When a caption goes: after its last word, or later if that is too soon to read it and nothing follows."""
    start = piece[0]["start"]
    readable = start + _SHORTEST_MS if next_ms is None else min(start + _SHORTEST_MS, next_ms)
    # Recognisers report words that take no time at all, and players skip captions that do.
    return int(max(piece[-1]["end"], readable, start + 1))


def _pieces(sentence: Sequence[Word], limit: int) -> list[list[Word]]:
    """A sentence cut where it grows too long or falls silent."""
    pieces: list[list[Word]] = []
    length = 0
    for word in sentence:
        size = len(word["text"])
        silent = bool(pieces) and word["start"] - pieces[-1][-1]["end"] > _LONG_GAP_MS
        if not pieces or silent or length + 1 + size > limit:
            pieces.append([word])
            length = size
        else:
            pieces[-1].append(word)
            length += 1 + size
    return pieces


def _clock(time_ms: int, decimal_sign: str) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_sign}{milliseconds:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
