"""What is derived from the words of a finished transcript: sentences, paragraphs, and where a word was said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow_asr.local.errors import ApiError
from airflow_asr.local.render import span
from airflow_asr.local.words import Word, without_punctuation

LONGEST_PHRASE = 5  # Words; the service's limit for word search.

_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "…")
_CLOSING = "\"')]}”’»"
# Written with a full stop in the middle of a sentence.
_ABBREVIATIONS = frozenset(
    ("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "rev", "gen", "col", "sgt", "capt", "lt", "vs", "e.g", "i.e")
)
_PARAGRAPH_PAUSE_MS = 1200
_SENTENCES_PER_PARAGRAPH = 4


def ends_sentence(text: str) -> bool:
    """Whether a word is the last of its sentence, as far as its spelling can tell."""
    bare = text.rstrip(_CLOSING)
    if not bare.endswith(_SENTENCE_ENDS):
        return False
    if not bare.endswith("."):
        return True
    stem = bare.rstrip(".").lstrip("\"'([{“‘«")
    initial = len(stem) == 1 and stem.isalpha() and stem.isupper() and stem != "I"
    return not initial and stem.lower() not in _ABBREVIATIONS


def split(words: Iterable[Word]) -> list[list[Word]]:
    """Words as sentences, in the order in which they begin; people who talk at once do not share a sentence."""
    open_sentences: dict[str | None, list[Word]] = {}
    sentences: list[list[Word]] = []
    for word in words:
        channel = word.get("channel")
        sentence = open_sentences.get(channel)
        if sentence is None:
            sentence = open_sentences[channel] = []
            sentences.append(sentence)
        sentence.append(word)
        if ends_sentence(word["text"]):
            del open_sentences[channel]
    return sentences


def sentences(words: Iterable[Word]) -> list[dict[str, Any]]:
    """The ``sentences`` of the service's reply."""
    found = []
    for sentence in split(words):
        first = sentence[0]
        body = {**span(sentence), "speaker": first["speaker"]}
        if "channel" in first:
            body["channel"] = first["channel"]
        found.append(body)
    return found


def paragraphs(words: Iterable[Word]) -> list[dict[str, Any]]:
    """The ``paragraphs`` of the service's reply: a few sentences each, with a new one after a pause."""
    found: list[list[list[Word]]] = []
    for sentence in split(words):
        if found and _belongs(sentence, found[-1]):
            found[-1].append(sentence)
        else:
            found.append([sentence])
    return [span([word for sentence in paragraph for word in sentence]) for paragraph in found]


def _belongs(sentence: Sequence[Word], paragraph: Sequence[Sequence[Word]]) -> bool:
    first, last = sentence[0], paragraph[-1][-1]
    return (
        len(paragraph) < _SENTENCES_PER_PARAGRAPH
        and first["start"] - last["end"] <= _PARAGRAPH_PAUSE_MS
        and first.get("channel") == last.get("channel")
    )


def search(words: Sequence[Word], terms: Sequence[str]) -> list[dict[str, Any]]:
    """Where words and phrases were said, whatever their case and punctuation. Terms that were not are left out.

    Raises:
        ApiError: there is no term, or a phrase is too long.
    """
    wanted = {term: _normal(term.split()) for term in dict.fromkeys(term.strip() for term in terms)}
    wanted = {term: tokens for term, tokens in wanted.items() if tokens}
    if not wanted:
        raise ApiError("Word search error, name what to look for in the query parameter words, joined by commas")
    spoken = _normal([word["text"] for word in words], keep_empty=True)
    places: dict[str, list[int]] = {}
    for index, token in enumerate(spoken):
        places.setdefault(token, []).append(index)
    matches = []
    for term, tokens in wanted.items():
        if len(tokens) > LONGEST_PHRASE:
            raise ApiError(f"Word search error, {term!r} has more than {LONGEST_PHRASE} words")
        starts = [at for at in places.get(tokens[0], ()) if spoken[at : at + len(tokens)] == tokens]
        if starts:
            matches.append(_match(words, term, starts, len(tokens)))
    return matches


def _match(words: Sequence[Word], term: str, starts: Sequence[int], length: int) -> dict[str, Any]:
    return {
        "text": term,
        "count": len(starts),
        "timestamps": [[words[at]["start"], words[at + length - 1]["end"]] for at in starts],
        "indexes": list(starts),
    }


def _normal(texts: Sequence[str], *, keep_empty: bool = False) -> list[str]:
    bare = [without_punctuation(text).casefold() for text in texts]
    return bare if keep_empty else [text for text in bare if text]
