"""Redaction of personal data: which words of a transcript are some, and what stands in their place.

As at the service each word stays a word, with its times: ``My name is [X] [X].`` for two words of one kind, and as
many ``#`` as a word is long. The punctuation around a word stays too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby

from airflow_asr.local.pii_patterns import FINDERS, Passage
from airflow_asr.local.spoken import Line, line
from airflow_asr.local.words import Word, parts

SERVED = tuple(sorted(FINDERS))

_CONTEXT_WORDS = 12  # Within so many words, "what is your date of birth" says what kind of date the answer is.
_REGIONS = {"en_uk": "GB", "en_gb": "GB", "en_au": "AU"}
_POSSESSIVE = re.compile(r"['’]s$")
_AROUND = ".,;:?!…\"'“”‘’()[]{}«»-–—"


def find(words: Sequence[Word], policies: Collection[str], language_code: str | None = None) -> list[str | None]:
    """For each word the policy that has it redacted, or None.

    Args:
        words: in the order in which they were said, of all channels.
        policies: some of :data:`SERVED`.
        language_code: the variety of English says how telephone numbers are dialled.
    """
    found: list[str | None] = [None] * len(words)
    region = _REGIONS.get(language_code or "", "US")
    for numbers in _by_channel(words).values():
        said = line([words[number]["text"] for number in numbers])
        passage = Passage(said.text, _context(words, numbers, said), region)
        for policy, finder in FINDERS.items():
            if policy in policies:
                for start, end in finder(passage):
                    for at in said.words(start, end):
                        found[numbers[at]] = found[numbers[at]] or policy
    return found


def _context(words: Sequence[Word], numbers: Sequence[int], said: Line) -> Callable[[int], str]:
    """What was said last before a position of a line, since the last number: that was what had been announced."""

    def before(position: int) -> str:
        last = numbers[said.words(position, position + 1)[0]]
        texts = [word["text"] for word in words[max(last - _CONTEXT_WORDS, 0) : last]]
        while (number := next((at for at, text in enumerate(texts) if _is_number(text)), None)) is not None:
            texts = texts[number + 1 :]
        return " ".join(texts).lower()

    return before


def find_terms(words: Sequence[Word], entities: Mapping[str, Sequence[str]]) -> list[str | None]:
    """For each word the label of the term that it belongs to, or None.

    Args:
        words: in the order in which they were said, of all channels.
        entities: terms by their label, as in ``redact_static_entities``. Case, punctuation, hyphens and spaces do
            not matter.
    """
    labels = {_compact([term]): label for label, terms in entities.items() for term in terms}
    longest = max((len(term.split()) for terms in entities.values() for term in terms), default=0)
    found: list[str | None] = [None] * len(words)
    for numbers in _by_channel(words).values():
        texts = [words[number]["text"] for number in numbers]
        for at in range(len(texts)):
            # "Bear claw" is a word more than "Bearclaw".
            for end in range(at + 1, min(at + longest + 1, len(texts)) + 1):
                label = labels.get(_compact(texts[at:end]))
                if label is not None:
                    for number in numbers[at:end]:
                        found[number] = found[number] or label
    return found


def _compact(texts: Sequence[str]) -> str:
    text = "".join(parts(text)[1] for text in texts).casefold()
    return "".join(character for character in _POSSESSIVE.sub("", text) if character.isalnum())


def _by_channel(words: Sequence[Word]) -> dict[str | None, list[int]]:
    """The numbers of the words of each channel."""
    channels: dict[str | None, list[int]] = {}
    for number, word in enumerate(words):
        channels.setdefault(word.get("channel"), []).append(number)
    return channels


def _is_number(text: str) -> bool:
    return sum(character.isdecimal() for character in text) > 1  # "The last 4 of it" is none.


def redacted(words: Sequence[Word], found: Sequence[str | None], substitution: str) -> list[Word]:
    """The words with those that were found replaced.

    Args:
        words: any.
        found: what :func:`find` says of them.
        substitution: ``hash`` or ``entity_name``.
    """
    return [
        word if policy is None else {**word, "text": _substitute(word["text"], policy, substitution)}
        for word, policy in zip(words, found, strict=True)
    ]


def _substitute(text: str, policy: str, substitution: str) -> str:
    word = text.strip(_AROUND)
    if not word:
        return text  # A dash between two of them.
    before, _, after = text.partition(word)
    return before + (f"[{policy.upper()}]" if substitution == "entity_name" else "#" * len(word)) + after


def spans(words: Sequence[Word], found: Sequence[str | None]) -> list[tuple[int, int]]:
    """When redacted words were said: start and end in milliseconds, in the order of their start.

    Words of one channel that follow each other are one span, so that nothing is heard between them.
    """
    result = []
    for numbers in _by_channel(words).values():
        for is_found, run in groupby(numbers, key=lambda number: found[number] is not None):
            if is_found:
                said = [words[number] for number in run]
                result.append((said[0]["start"], max(word["end"] for word in said)))
    return sorted(result)
