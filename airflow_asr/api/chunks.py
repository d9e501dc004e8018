"""Cuts a transcript into pieces for retrieval, at the ends of sentences."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from airflow_asr.api.sentences import ends_sentence
from airflow_asr.api.spans import Span, Turn, Word, join, pieces_of, speaker_of

Fits = Callable[[Sequence[Word]], bool]


class Chunk(Span):
    """A piece of a transcript that ends where a sentence does.

    Attributes:
        index: its number, from 0.
    """

    def __init__(self, words: Sequence[Word], index: int) -> None:
        super().__init__(words, _readable(words))
        self.index = index


def chunks_of(turns: Sequence[Turn], max_size: int, size: Callable[[str], int], overlap: int) -> Iterator[Chunk]:
    """Return chunks; see :meth:`airflow_asr.api.transcript.Transcript.chunks`."""
    # Not in the generator, which would not raise before its first chunk is asked for.
    if max_size < 1 or overlap < 0:
        raise ValueError(f"No chunks of {max_size} with an overlap of {overlap}: give max_size >= 1 and overlap >= 0.")
    return _chunks(turns, lambda words: size(_readable(words)) <= max_size, overlap)


def _chunks(turns: Sequence[Turn], fits: Fits, overlap: int) -> Iterator[Chunk]:
    sentences = [part for sentence in _sentences(turns) for part in _parts(sentence, fits)]
    first = new = index = count = 0  # A chunk begins with its first sentence; from `new` on, they are in no other.

    def fit(number: int) -> bool:
        return fits(_flat(sentences[first : first + number]))

    while new < len(sentences):
        first = max(first, new - overlap)
        while first < new and not fit(new - first + 1):
            first += 1  # What is repeated makes room for what is new.
        count = _most(fit, new - first + 1, len(sentences) - first, count)
        new = first + count
        yield Chunk(_flat(sentences[first:new]), index)
        index += 1


def _sentences(turns: Sequence[Turn]) -> Iterator[list[Word]]:
    """Yield the sentences of each turn."""
    # Without `format_text` nothing has capitals, and a small letter does not tell that a sentence goes on.
    capitals = any(word.text[:1].isupper() for turn in turns for word in turn.words)
    for turn in turns:
        sentence: list[Word] = []
        last = len(turn.words) - 1
        for number, word in enumerate(turn.words):
            sentence.append(word)
            if number == last or ends_sentence(word.text, turn.words[number + 1].text if capitals else ""):
                yield sentence
                sentence = []


def _parts(sentence: Sequence[Word], fits: Fits) -> Iterator[Sequence[Word]]:
    """Cut a sentence that is too long by itself between words, as rarely as it goes."""
    if fits(sentence):
        yield sentence
        return
    start = count = 0

    def fit(number: int) -> bool:
        return fits(sentence[start : start + number])

    while start < len(sentence):
        count = _most(fit, 1, len(sentence) - start, count)
        yield sentence[start : start + count]
        start += count


def _most(fit: Callable[[int], bool], least: int, limit: int, guess: int) -> int:
    """Return the most that fits, from ``least``, which is taken in any case, to ``limit``.

    Counting tokens is slow, so it is done as rarely as it goes: first near the guess, in growing steps, then by halves.
    """
    found, step = least, 1
    tried = min(max(guess, least + 1), limit)
    while tried <= limit and fit(tried):
        found, tried, step = tried, tried + step, 2 * step
    return found + bisect_left(range(found + 1, min(tried, limit + 1)), True, key=lambda number: not fit(number))


def _readable(words: Sequence[Word]) -> str:
    """Return the text; where the speaker changes, each has a line that begins with who speaks."""
    if len({speaker_of(word) for word in words}) < 2:
        return join(word.text for word in words)
    return "\n".join(f"{speaker_of(run.words[0]) or '?'}: {run.text}" for run in pieces_of(words))


def _flat(sentences: Iterable[Sequence[Word]]) -> list[Word]:
    return list(chain.from_iterable(sentences))
