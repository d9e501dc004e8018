"""Finds the phrases that tell most of what was said, with YAKE, in the language of the text."""

from __future__ import annotations

from functools import cache
from typing import Any

_CANDIDATES = 24
# They open and close every call, and tell nothing of it.
_COURTESIES = {
    *("afternoon", "bye", "calling", "course", "evening", "fine", "good", "goodbye", "great", "hello", "help", "hey"),
    *("hi", "look", "moment", "morning", "name", "okay", "perfect", "please", "problem", "sir", "madam", "sorry"),
    *("speak", "speaking", "sure", "thank", "thanks", "welcome", "yeah", "yes"),
}


def key_phrases(text: str, language_code: str | None, most: int, *, words: int = 3) -> list[tuple[str, float]]:
    """Return phrases with a score from 0 to 1, best first, without those that are part of a better one.

    Args:
        text: of one recording.
        language_code: as ``en_us``; without one it counts as English.
        most: how many at most; there are up to 24.
        words: how many words a phrase has at most.
    """
    phrases: list[tuple[str, float]] = []
    for phrase, score in _extractor((language_code or "en")[:2].lower(), words).extract_keywords(text):
        its = set(phrase.casefold().split())
        if any(its <= set(better.casefold().split()) for better, _ in phrases):
            continue
        # YAKE's own score is 0 for what could not tell more, and grows without end.
        phrases.append((phrase, round(1 / (1 + float(score)), 4)))
    return phrases[:most]


@cache
def _extractor(language: str, words: int) -> Any:
    import yake

    extractor = yake.KeywordExtractor(lan=language, n=words, top=_CANDIDATES, dedupLim=0.7)
    if language == "en":
        extractor.stopword_set |= _COURTESIES
    return extractor
