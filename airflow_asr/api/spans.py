"""Parts of a transcript: a turn of one speaker, or what was said between two times."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import NamedTuple


class Word(NamedTuple):
    """One word. Times are milliseconds from the start of the audio; ``confidence`` is from 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None
    speaker: str | None
    channel: str | None


class Span:
    """Some words of a transcript, in order.

    Args:
        words: the words.
        text: their text, where the service gives it with the words.
    """

    def __init__(self, words: Sequence[Word], text: str | None = None) -> None:
        self.words = words
        self._text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.start_ms}..{self.end_ms} ms, {len(self.words)} words)"

    @cached_property
    def text(self) -> str:
        """The text. Words are joined by a space, but not in scripts that are written without."""
        return join(word.text for word in self.words) if self._text is None else self._text

    @cached_property
    def start_ms(self) -> int:
        """When the first word begins, in milliseconds; 0 without words."""
        return min((word.start_ms for word in self.words), default=0)

    @cached_property
    def end_ms(self) -> int:
        """When the last word ends, in milliseconds; 0 without words."""
        return max((word.end_ms for word in self.words), default=0)

    @property
    def duration_ms(self) -> int:
        """How long it lasts, in milliseconds."""
        return max(self.end_ms - self.start_ms, 0)

    @cached_property
    def confidence(self) -> float | None:
        """Mean confidence of the words, from 0 to 1, each word counted alike, as the service does for the whole.

        ``None`` if no word has one.
        """
        known = [word.confidence for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks, in order of appearance: the speakers, or the channels where speakers are not told apart."""
        return tuple(dict.fromkeys(name for word in self.words if (name := speaker_of(word)) is not None))


class Turn(Span):
    """What one speaker, or one channel, said until somebody else spoke.

    Args:
        words: the words.
        text: their text.
        speaker: the speaker, if speakers are told apart.
        channel: the channel, if channels are.
        times: start and end in milliseconds, where there are no words to tell.
    """

    def __init__(
        self,
        words: Sequence[Word],
        text: str | None,
        speaker: str | None,
        channel: str | None,
        times: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(words, text)
        self.speaker = speaker
        self.channel = channel
        if times is not None:
            self.start_ms, self.end_ms = times


class Timeline:
    """Words that can be found by time, also where channels overlap and starts are out of order."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._words = sorted(words, key=lambda word: word.start_ms)
        self._starts = [word.start_ms for word in self._words]
        self._latest_end = list(accumulate((_end(word) for word in self._words), max))

    def between(self, start_ms: float, end_ms: float) -> Span:
        """Return the words that sound at some time from ``start_ms`` to before ``end_ms``, both in milliseconds.

        Raises:
            ValueError: the interval is empty or negative.
        """
        if not 0 <= start_ms < end_ms:
            raise ValueError(f"No interval: from {start_ms} ms to {end_ms} ms. Give 0 <= start_ms < end_ms.")
        first = bisect_right(self._latest_end, start_ms)
        last = bisect_left(self._starts, end_ms)
        return Span([word for word in self._words[first:last] if _end(word) > start_ms])


def turns_of(pieces: Iterable[Turn], max_gap_ms: float) -> Iterator[Turn]:
    """Join neighbours of one speaker, but not where nobody speaks for longer than ``max_gap_ms``."""
    run: list[Turn] = []
    end_ms = 0
    for piece in chain.from_iterable(_parted(piece, max_gap_ms) for piece in pieces):
        same = run and (piece.speaker, piece.channel) == (run[-1].speaker, run[-1].channel)
        if run and not (same and piece.start_ms - end_ms <= max_gap_ms):
            yield _merge(run)
            run = []
        end_ms = max(end_ms, piece.end_ms) if run else piece.end_ms
        run.append(piece)
    if run:
        yield _merge(run)


def pieces_of(words: Iterable[Word]) -> Iterator[Turn]:
    """Return runs of words of one speaker on one channel."""
    run: list[Word] = []
    for word in words:
        if run and (word.speaker, word.channel) != (run[-1].speaker, run[-1].channel):
            yield _turn(run)
            run = []
        run.append(word)
    if run:
        yield _turn(run)


def _merge(pieces: list[Turn]) -> Turn:
    if len(pieces) == 1:
        return pieces[0]
    return Turn(
        [word for piece in pieces for word in piece.words],
        join(piece.text for piece in pieces),
        pieces[0].speaker,
        pieces[0].channel,
        (min(piece.start_ms for piece in pieces), max(piece.end_ms for piece in pieces)),
    )


def _parted(piece: Turn, max_gap_ms: float) -> Iterator[Turn]:
    run: list[Word] = []
    end_ms = 0
    for word in piece.words:
        if run and word.start_ms - end_ms > max_gap_ms:
            yield Turn(run, None, piece.speaker, piece.channel)
            run = []
        end_ms = max(end_ms, word.end_ms) if run else word.end_ms
        run.append(word)
    # What is whole keeps the text that the service gave.
    yield piece if len(run) == len(piece.words) else Turn(run, None, piece.speaker, piece.channel)


def _turn(words: list[Word]) -> Turn:
    return Turn(words, None, words[0].speaker, words[0].channel)


def _end(word: Word) -> int:
    """Return the end of a word; one that takes no time still sounds at its start."""
    return max(word.end_ms, word.start_ms + 1)


def speaker_of(word: Word) -> str | None:
    """Return who says a word: its speaker, or its channel where speakers are not told apart."""
    return word.speaker if word.speaker is not None else word.channel


# Chinese, Japanese, Thai, Lao, Tibetan, Burmese and Khmer are written without spaces between words; so is their
# punctuation, but for marks that other scripts use as well.
_NO_SPACES = "[\u0e00-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef\U00020000-\U0003ffff]"
_SHARED_MARKS = "[“”‘’…—]*"
_ANYWHERE = re.compile(_NO_SPACES)
_AT_START = re.compile(_SHARED_MARKS + _NO_SPACES)
_AT_END = re.compile(_NO_SPACES + _SHARED_MARKS + "$")


def join(texts: Iterable[str]) -> str:
    """Join texts by a space, except between two that belong to scripts without spaces."""
    present = [text for text in texts if text]
    joined = " ".join(present)
    if not _ANYWHERE.search(joined):
        return joined
    parts = present[:1]
    for last, text in pairwise(present):
        if not (_AT_START.match(text) and _AT_END.search(last)):
            parts.append(" ")
        parts.append(text)
    return "".join(parts)
