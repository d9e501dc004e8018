"""Words and utterances, read from the service's JSON, where any field may be left out, ``null``, or anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, overload

from airflow_asr.api import fields
from airflow_asr.api.spans import Span, Word

Json = Mapping[str, Any]


class Utterance(NamedTuple):
    """What one speaker, or one channel, said without a break. Times are milliseconds."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None
    speaker: str | None
    channel: str | None
    words: Sequence[Word] = ()

    @property
    def duration_ms(self) -> int:
        """How long it lasted, in milliseconds."""
        return max(self.end_ms - self.start_ms, 0)


def objects(items: object) -> list[Json]:
    """Return the objects of a list. The service leaves lists out, and writes ``null`` for them."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


class _Words(Sequence[Word]):
    """The words of an utterance, read when they are first looked at: most who want utterances want their texts."""

    def __init__(self, said: Json) -> None:
        self._said = said

    @cached_property
    def _read(self) -> list[Word]:
        said = self._said
        speaker, channel = fields.name(said.get("speaker")), fields.name(said.get("channel"))
        return read_words(said.get("words"), speaker, channel, fields.number(said.get("start")) or 0)

    @overload
    def __getitem__(self, index: int) -> Word: ...

    @overload
    def __getitem__(self, index: slice) -> list[Word]: ...

    def __getitem__(self, index: int | slice) -> Word | list[Word]:
        return self._read[index]

    def __len__(self) -> int:
        return len(self._read)

    def __iter__(self) -> Iterator[Word]:
        return iter(self._read)

    def __eq__(self, other: object) -> bool:
        return self._read == (other._read if isinstance(other, _Words) else other)

    def __repr__(self) -> str:
        return repr(self._read)


def read_utterance(said: Json) -> Utterance:
    """Return an utterance. Where it does not say when it begins or ends, its words do."""
    words = _Words(said)
    start_ms, end_ms = fields.number(said.get("start")), fields.number(said.get("end"))
    if start_ms is None or end_ms is None:
        span = Span(words)
        start_ms = span.start_ms if start_ms is None else start_ms
        end_ms = span.end_ms if end_ms is None else end_ms
    return Utterance(
        fields.text(said.get("text")) or "",
        start_ms,
        end_ms,
        fields.number(said.get("confidence")),
        fields.name(said.get("speaker")),
        fields.name(said.get("channel")),
        words,
    )


def read_words(items: object, speaker: str | None = None, channel: str | None = None, start_ms: int = 0) -> list[Word]:
    """Return words; those of an utterance are its speaker's even where they do not say so.

    A word without a start begins where the one before it ends, and the first at ``start_ms``, so that it stays in its
    place; without an end it takes no time.
    """
    words: list[Word] = []
    last_end = start_ms
    text, number, name = fields.text, fields.number, fields.name  # A transcript has tens of thousands of words.
    for word in objects(items):
        start, end = number(word.get("start")), number(word.get("end"))
        start = last_end if start is None else start
        last_end = start if end is None else end
        words.append(
            Word(
                text(word.get("text")) or "",
                start,
                last_end,
                number(word.get("confidence")),
                name(word.get("speaker")) or speaker,
                name(word.get("channel")) or channel,
            )
        )
    return words
