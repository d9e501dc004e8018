"""Cuts a transcript into pieces for retrieval, at the ends of sentences."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from airflow_asr.api.spans import Span, Turn, Word, join, pieces_of, speaker_of

# What ends a sentence in scripts that the service transcribes, and what may close after it.
_SENTENCE_END = re.compile(r"[.!?…。！？؟۔।॥։]+[\"'”’»)\]」』]*$")
# A full stop after these is part of the word.
_ABBREVIATION = re.compile(
    r"(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|no|nr|approx|dept|e\.g|i\.e|z\.b|d\.h|bzw|ca|usw|[^\W\d]|(?:[^\W\d]\.)+[^\W\d])\.",
    re.IGNORECASE,
)

Size = Callable[[str], int]


class Chunk(Span):
    """A piece of a transcript that ends where a sentence does.

    Attributes:
        index: its number, from 0.
    """

    def __init__(self, words: Sequence[Word], index: int) -> None:
        super().__init__(words, _readable(words))
        self.index = index


def chunks_of(turns: Iterable[Turn], max_size: int, size: Size, overlap: int) -> Iterator[Chunk]:
    """Yield chunks; see :meth:`airflow_asr.api.transcript.Transcript.chunks`."""
    if max_size < 1 or overlap < 0:
        raise ValueError(f"No chunks of {max_size} with an overlap of {overlap}: give max_size >= 1 and overlap >= 0.")
    kept: list[list[Word]] = []  # Sentences of the chunk that is being filled.
    fresh = 0  # How many of them were in no chunk before.
    index = 0
    for sentence in _sentences(turns, max_size, size):
        if fresh and size(_readable(_flat([*kept, sentence]))) > max_size:
            yield Chunk(_flat(kept), index)
            index += 1
            kept = kept[-overlap:] if overlap else []
            fresh = 0
        while kept and not fresh and size(_readable(_flat([*kept, sentence]))) > max_size:
            kept.pop(0)  # What is repeated makes room for what is new.
        kept.append(sentence)
        fresh += 1
    if fresh:
        yield Chunk(_flat(kept), index)


def _sentences(turns: Iterable[Turn], max_size: int, size: Size) -> Iterator[list[Word]]:
    """Yield the sentences of each turn; one that is too long by itself comes in parts."""
    for turn in turns:
        sentence: list[Word] = []
        for word, following in zip(turn.words, [*turn.words[1:], None], strict=True):
            sentence.append(word)
            if following is None or ends_sentence(word.text, following.text):
                yield from _parts(sentence, max_size, size)
                sentence = []


def _parts(sentence: list[Word], max_size: int, size: Size) -> Iterator[list[Word]]:
    """Cut a sentence between words, as rarely as it goes. Counting may be slow, so it is not done for each word."""

    def fits(words: int) -> bool:
        return size(join(word.text for word in sentence[:words])) <= max_size

    while not fits(len(sentence)):
        most = 1
        while most < len(sentence) and fits(2 * most):
            most *= 2
        count = most + bisect_left(range(most + 1, min(2 * most, len(sentence)) + 1), True, key=lambda n: not fits(n))
        if count >= len(sentence):
            break
        yield sentence[:count]
        sentence = sentence[count:]
    yield sentence


def ends_sentence(text: str, following: str) -> bool:
    """Say whether a sentence ends with a word, given the word after it."""
    if not _SENTENCE_END.search(text):
        return False
    if text.endswith(".") and _ABBREVIATION.fullmatch(text):
        return False
    return not following[:1].islower()


def _readable(words: Sequence[Word]) -> str:
    """Return the text; where the speaker changes, each has a line that begins with who speaks."""
    runs = list(pieces_of(words))
    speakers = {speaker_of(run.words[0]) for run in runs}
    if len(speakers) < 2:
        return join(word.text for word in words)
    return "\n".join(f"{speaker_of(run.words[0]) or '?'}: {run.text}" for run in runs)


def _flat(sentences: Iterable[list[Word]]) -> list[Word]:
    return [word for sentence in sentences for word in sentence]
