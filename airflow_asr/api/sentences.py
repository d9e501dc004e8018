"""Where a sentence ends, told from words and the punctuation that the service gave them.

Sentence splitters read running text in one named language. Here the words have times that must stay with them, a
transcript may change its language, and what is written is speech: "No." is an answer more often than a number. So each
word is asked by itself. It costs the package no dependency, and where it errs, a chunk ends at another word: none is
lost.
"""

from __future__ import annotations

import re

# Marks of the scripts that the service transcribes.
_MARKS = frozenset(".!?…‼⁇⁈⁉。．｡！？؟۔।॥։።፧။។៕།\u037e")
_GREEK_QUESTION = re.compile("[\u0370-\u03ff\u1f00-\u1fff];")
_AROUND = "\"'“”„‟‘’‚«»‹›()[]{}¿¡「」『』（）［］【】《》〈〉"

# A full stop after these is part of the word. Those that often end a sentence too, as "etc.", are left out: what goes
# on after them goes on in lower case.
_MORE_FOLLOWS = re.compile(
    "mr|mrs|ms|messrs|dr|prof|st|mt|gen|col|sgt|capt|lt|cmdr|maj|rev|gov|sen|vs|approx"
    "|hr|fr|frl|bzw|ca|evtl|inkl|vgl|sog|dhr|mevr|drs"  # German and Dutch.
    "|mme|mlle|mgr|sr|sra|srta|dra|sig|sig\\.ra|dott|dott\\.ssa|avv"  # French, Spanish, Portuguese, Italian.
    "|ул|пр|просп|д-р|د|डॉ",
    re.IGNORECASE,
)
_NUMBER_FOLLOWS = re.compile("no|nos|nr|num|núm|fig|art|vol|pp?|abs|str", re.IGNORECASE)
_DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")  # e.g., U.S., z.B., Ph.D.
_TIME_OF_DAY = re.compile(r"[ap]\.m", re.IGNORECASE)
_WORDS_OF_ONE_CAPITAL = frozenset("IÉÈЯ")


def ends_sentence(text: str, following: str) -> bool:
    """Say whether a sentence ends with a word.

    Args:
        text: the word with its punctuation.
        following: the word after it; empty if there is none, or if it cannot tell because nothing has capitals.
    """
    bare = text.strip(_AROUND)
    if bare[-1:] not in _MARKS and not _GREEK_QUESTION.fullmatch(bare[-2:]):
        return False
    if following.lstrip(_AROUND)[:1].islower():
        return False
    return not (bare.endswith(".") and _belongs_to(bare[:-1], following))


def _belongs_to(stem: str, following: str) -> bool:
    """Say whether a full stop belongs to what it follows: an abbreviation or an initial."""
    if len(stem) == 1 and stem.isupper():
        return stem not in _WORDS_OF_ONE_CAPITAL
    if _NUMBER_FOLLOWS.fullmatch(stem):
        return following[:1].isdigit()
    if _TIME_OF_DAY.fullmatch(stem):
        return False
    return bool(_MORE_FOLLOWS.fullmatch(stem) or _DOTTED.fullmatch(stem))
