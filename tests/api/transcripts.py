"""Transcripts to try the views on."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from airflow_asr.api.transcript import Transcript


def transcript(words: list[dict[str, Any]], **fields: Any) -> Transcript:
    return Transcript({"id": "t-1", "status": "completed", "words": words, **fields})


def said(text: str, speaker: str | None = None, *, start: int = 0, gap: int = 0) -> list[dict[str, Any]]:
    """Words of 100 ms each."""
    words = []
    for word in text.split():
        words.append({"text": word, "start": start, "end": start + 100, "confidence": 0.8, "speaker": speaker})
        start += 100 + gap
    return words


json_words = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.text(st.characters(blacklist_categories=("Cs", "Z", "C")), min_size=1, max_size=6)
            | st.sampled_from(["End.", "Really?", "Mr.", "3.", "e.g.", "终。", "了", "?!"]),
            "start": st.integers(0, 5000),
            "end": st.integers(0, 5000),
            "confidence": st.none() | st.floats(0, 1),
            "speaker": st.sampled_from([None, "A", "B"]),
            "channel": st.sampled_from([None, "1"]),
        }
    ),
    max_size=40,
)
"""Words in no order, that overlap, of any script, with speakers that come and go."""

_maybe = {
    "text": st.none() | st.sampled_from(["Yes.", "mr", "终。", ""]),
    "start": st.none() | st.integers(0, 5000),
    "end": st.none() | st.integers(0, 5000),
    "confidence": st.none() | st.floats(0, 1),
    "speaker": st.none() | st.sampled_from("AB"),
    "channel": st.none() | st.just("1"),
}
_word_lists = st.none() | st.lists(st.none() | st.fixed_dictionaries({}, optional=_maybe), max_size=5)
scanty_replies = st.fixed_dictionaries(
    {"id": st.just("t-1"), "status": st.just("completed")},
    optional={
        "text": st.none() | st.text(max_size=5),
        "words": _word_lists,
        "utterances": st.none()
        | st.lists(st.none() | st.fixed_dictionaries({}, optional={**_maybe, "words": _word_lists}), max_size=4),
    },
)
"""Replies of a service that leaves out, or gives as ``null``, anything but id and status."""
