"""Speech as it would be written, with digits for number words, so that patterns find what people dictate.

Recognisers write most numbers in digits and some in words: ``212 555 oh one three four``. Number words are English.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_asr.local.words import parts

if TYPE_CHECKING:
    from text_to_num import Occurence

_ZERO = frozenset(("oh", "o"))
_TIMES = {"double": 2, "triple": 3}


@dataclass(frozen=True)
class Line:
    """A text, and which words it was made from.

    Attributes:
        text: of the units, with one space between them.
        starts: where each unit begins in the text.
        spans: the first word of each unit, and the one after its last: ``twenty five`` is one unit of two words.
    """

    text: str
    starts: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def words(self, start: int, end: int) -> range:
        """The numbers of the words that a part of the text was made from."""
        first = max(bisect_right(self.starts, start) - 1, 0)
        last = bisect_left(self.starts, end)
        return range(self.spans[first][0], self.spans[last - 1][1])


@dataclass(frozen=True)
class _Token:
    """What text2num wants to know of a word."""

    word: str
    ends: str

    def text(self) -> str:
        return self.word

    def text_lowercase(self) -> str:
        return self.word.lower()

    def nt_separated(self, previous: _Token) -> bool:
        return bool(previous.ends)

    def not_a_number_part(self) -> bool:
        return not self.word.replace("-", "").isalpha()


def line(texts: Sequence[str]) -> Line:
    """The words of one channel as a line."""
    units = list(_units(texts))
    starts, at = [], 0
    for text, _, _ in units:
        starts.append(at)
        at += len(text) + 1
    return Line(" ".join(text for text, _, _ in units), tuple(starts), tuple((first, end) for _, first, end in units))


def _units(texts: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Each word or number: its text, its first word, and the word after its last."""
    split = [parts(text) for text in texts]
    numbers = _numbers(split)
    at = 0
    while at < len(split):
        before, word, after = split[at]
        end = at + 1
        times = _TIMES.get(word.lower())
        number = numbers.get(at)
        if number is not None:
            word, end = number.text, number.end
            after = split[end - 1][2]
        elif times is not None and (repeated := _digit(split, numbers, at + 1)) is not None:
            word, after, end = repeated * times, split[at + 1][2], at + 2
        yield before + word + after, at, end
        at = end


def _digit(split: Sequence[tuple[str, str, str]], numbers: dict[int, Occurence], at: int) -> str | None:
    """The single digit that a word is; None if it is anything else."""
    if at >= len(split):
        return None
    number = numbers.get(at)
    text = split[at][1] if number is None else number.text
    return text if len(text) == 1 and text.isdecimal() else None


def _numbers(split: Sequence[tuple[str, str, str]]) -> dict[int, Occurence]:
    """The numbers that are written in words, by their first word."""
    from text_to_num import find_numbers

    tokens = [_Token("zero" if _is_zero(split, at) else word, after) for at, (_, word, after) in enumerate(split)]
    return {number.start: number for number in find_numbers(tokens, "en", 0)}


def _is_zero(split: Sequence[tuple[str, str, str]], at: int) -> bool:
    """Whether an ``oh`` is a digit: it stands beside others."""
    if split[at][1].lower() not in _ZERO:
        return False
    return any(_sounds_like_digits(split[beside][1]) for beside in (at - 1, at + 1) if 0 <= beside < len(split))


def _sounds_like_digits(word: str) -> bool:
    return word.lower() in _DIGIT_WORDS or word.isdecimal()


_DIGIT_WORDS = frozenset(
    (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", *_ZERO),
        *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
    )
)
