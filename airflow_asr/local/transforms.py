"""What is done to the words of one channel before they are a transcript. All of it is plain functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_asr.local import profanity
from airflow_asr.local.words import Word, parts

# The service removes um, uh, hmm, mhm, uh-huh, ah, huh, hm and m, whatever their length; the rest is British.
_FILLER = re.compile(
    r"u+h*m+|u+h+|uh-?huh|h+m+|m+-?h*m+|m|a+h+|huh+|e+r+m*",
    re.IGNORECASE,
)
_SENTENCE_ENDS = re.compile(r"[.?!…]")


def is_filler(text: str) -> bool:
    """Whether a word only fills a pause. Letters and abbreviations (``M``, ``ER``) do not."""
    word = parts(text)[1]
    return _FILLER.fullmatch(word) is not None and not word.isupper()


def without_fillers(words: Iterable[Word]) -> list[Word]:
    """Words without um and uh. The punctuation around them closes up, and a sentence keeps its capital."""
    kept: list[Word] = []
    capital = False
    for word in words:
        if is_filler(word["text"]):
            _close_up(kept, parts(word["text"])[2])
            capital = capital or word["text"].lstrip("\"'“‘(")[:1].isupper()
        else:
            kept.append({**word, "text": _capitalised(word["text"])} if capital else word)
            capital = False
    return kept


def _close_up(before: list[Word], sign: str) -> None:
    """Let the word before a filler that is gone end as the filler did."""
    if not before or not sign:
        return
    start, word, end = parts(before[-1]["text"])
    if _SENTENCE_ENDS.search(end):
        return  # The filler was a sentence of its own.
    # "I, um, think" had two commas for the filler's sake; "I went, um." has lost its full stop.
    ending = "" if sign == "," and end == "," else sign if sign != "," else end
    before[-1] = {**before[-1], "text": start + word + ending}


def _capitalised(text: str) -> str:
    first = len(parts(text)[0])
    return text[:first] + text[first : first + 1].upper() + text[first + 1 :]


def respelled(words: Sequence[Word], spellings: Iterable[Mapping[str, Any]]) -> list[Word]:
    """Words with custom spellings; the words of a phrase become one.

    Args:
        words: of one channel.
        spellings: as in ``custom_spelling``: the case of ``from`` does not matter, that of ``to`` does.
    """
    written = {_tokens(phrase): rule["to"] for rule in spellings for phrase in rule["from"]}
    longest = max(map(len, written), default=0)
    split = [parts(word["text"]) for word in words]
    result: list[Word] = []
    at = 0
    while at < len(words):
        length, to = _spelling(split, at, written, longest)
        result.append(words[at] if to is None else _merged(words[at : at + length], split[at : at + length], to))
        at += length
    return result


def _tokens(phrase: str) -> tuple[str, ...]:
    return tuple(parts(word)[1].casefold() for word in phrase.split())


def _spelling(
    split: Sequence[tuple[str, str, str]], at: int, written: Mapping[tuple[str, ...], str], longest: int
) -> tuple[int, str | None]:
    """How many words the longest phrase that is said here has, and how it shall be written; 1 and None if none is."""
    for length in range(min(longest, len(split) - at), 0, -1):
        phrase = split[at : at + length]
        # Punctuation inside of it: these words do not belong together.
        together = not any(end for _, _, end in phrase[:-1]) and not any(start for start, _, _ in phrase[1:])
        to = written.get(tuple(word.casefold() for _, word, _ in phrase)) if together else None
        if to is not None:
            return length, to
    return 1, None


def _merged(words: Sequence[Word], split: Sequence[tuple[str, str, str]], to: str) -> Word:
    return {
        **words[0],
        "text": split[0][0] + to + split[-1][2],
        "end": words[-1]["end"],
        "confidence": min(word["confidence"] for word in words),  # As sure as its least sure part.
    }


def without_profanity(words: Iterable[Word]) -> list[Word]:
    """Words with profanity masked."""
    return [{**word, "text": profanity.masked(word["text"])} for word in words]
