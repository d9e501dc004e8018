"""English profanity, masked as the service documents it: the first letter, asterisks, and what follows an apostrophe.

The word lists of the libraries that were looked at mask ``kill``, ``organ`` and ``murder`` too, or were last edited
years ago. A transcript of a call needs those words, so this list is short: what is an insult or an obscenity whatever
is meant by it.
"""

from __future__ import annotations

import re

from airflow_asr.local.words import parts

# Each with the endings that English gives it. Words that also are names or have a harmless meaning are not here.
_STEMS = (
    "arsehole",
    "ass",
    "asshole",
    "bastard",
    "bitch",
    "bollocks",
    "bullshit",
    "cocksuck",
    "cunt",
    "damn",
    "dickhead",
    "dipshit",
    "dumbass",
    "faggot",
    "fuck",
    "goddamn",
    "horseshit",
    "jackass",
    "motherfuck",
    "nigger",
    "nigga",
    "piss",
    "shit",
    "slut",
    "twat",
    "wank",
    "whore",
)
_PROFANITY = re.compile(rf"(?:{'|'.join(_STEMS)})(?:e?s|t?e[dr]s?|t?in[g']?|t?y|head|face)?", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)


def masked(text: str) -> str:
    """A word with all but its first letter as asterisks if it is profanity; otherwise as it is."""
    before, word, after = parts(text)
    return before + "-".join(_masked(part) for part in word.split("-")) + after


def _masked(word: str) -> str:
    possessive = _POSSESSIVE.search(word)
    stem = word[: possessive.start()] if possessive else word
    if not _PROFANITY.fullmatch(stem):
        return word
    return stem[0] + "*" * (len(stem) - 1) + word[len(stem) :]
