"""Captions and sentences from any words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local import captions, sentences
from airflow_asr.local.words import Word


def word(text: str, start: int = 0, end: int = 1, channel: str | None = None) -> Word:
    body: Word = {"text": text, "start": start, "end": end, "confidence": 0.5, "speaker": channel}
    return body if channel is None else {**body, "channel": channel}


def spoken(text: str) -> list[Word]:
    return [word(part, number * 500, number * 500 + 400) for number, part in enumerate(text.split())]


@st.composite
def transcripts(draw: st.DrawFn) -> list[Word]:
    """Words one after the other, with pauses of any length between them."""
    words: list[Word] = []
    time = 0
    for text in draw(st.lists(st.text("aB1'.?!,", min_size=1, max_size=12), max_size=40)):
        start = time + draw(st.integers(0, 4000))
        time = start + draw(st.integers(0, 900))
        words.append(word(text, start, time))
    return words


@given(words=transcripts(), limit=st.integers(1, 60))
def test_captions(words: list[Word], limit: int) -> None:
    found = captions.captions(words, limit)
    assert " ".join(caption.text for caption in found).split() == [word["text"] for word in words]
    for caption in found:
        assert caption.text
        assert len(caption.text) <= limit or " " not in caption.text
        assert caption.start_ms < caption.end_ms
    for earlier, later in pairwise(found):
        # A word may take no time; its caption is shown for a millisecond.
        assert earlier.end_ms <= later.start_ms + 1
        assert earlier.start_ms <= later.start_ms


@given(words=transcripts(), limit=st.integers(1, 60))
def test_files(words: list[Word], limit: int) -> None:
    found = captions.captions(words, limit)
    srt, vtt = captions.srt(words, limit), captions.vtt(words, limit)
    assert srt.count(" --> ") == vtt.count(" --> ") == len(found)
    assert vtt.startswith("WEBVTT\n")
    assert [int(block.splitlines()[0]) for block in srt.split("\n\n") if block] == list(range(1, len(found) + 1))


@given(words=transcripts())
def test_sentences_and_paragraphs_keep_every_word(words: list[Word]) -> None:
    for parts in (sentences.sentences(words), sentences.paragraphs(words)):
        assert [one for part in parts for one in part["words"]] == words
        assert all(part["start"] == part["words"][0]["start"] for part in parts)
        assert all(part["end"] == max(one["end"] for one in part["words"]) for part in parts)


def test_long_pause_ends_a_caption() -> None:
    words = [word("one", 0, 400), word("two", 2500, 2900), word("three", 3000, 3300)]
    assert [caption.text for caption in captions.captions(words, 100)] == ["one", "two three"]


def test_short_words_can_be_read() -> None:
    words = [word("Yes.", 1000, 1000), word("No.", 1500, 1500), word("Well.", 5000, 5100)]
    found = captions.captions(words, 100)
    assert [(caption.start_ms, caption.end_ms) for caption in found] == [(1000, 1500), (1500, 2300), (5000, 5800)]


def test_clock() -> None:
    srt = captions.srt([word("late", 36_000_000, 36_061_001)])
    assert srt == "1\n10:00:00,000 --> 10:01:01,001\nlate\n"


def test_vtt_is_escaped() -> None:
    assert "a &lt;b&gt; &amp; --&gt;\n" in captions.vtt(spoken("a <b> & -->"))


def test_people_who_talk_at_once() -> None:
    words = [
        word("Well,", 0, 300, "1"),
        word("No!", 200, 400, "2"),
        word("yes.", 500, 800, "1"),
        word("Never.", 700, 900, "2"),
    ]
    assert [part["text"] for part in sentences.sentences(words)] == ["Well, yes.", "No!", "Never."]
    assert [caption.text for caption in captions.captions(words, 50)] == ["Well, yes.", "No!", "Never."]
    assert [part["text"] for part in sentences.paragraphs(words)] == ["Well, yes.", "No! Never."]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two? Three! Four", 4),
        ("It costs 3.50 dollars. Cheap!", 2),
        ("Mr. Jones met Dr. Who at St. Paul.", 1),
        ("J. R. R. Tolkien wrote it.", 1),
        ('He said "Stop!" Then he (really.) left.', 3),
        ("It was I. You know.", 2),
        ("Wait... What?", 2),
        ("See e.g. the manual.", 1),
        ("好。 吗？", 2),
        ("no signs at all", 1),
    ],
)
def test_where_sentences_end(text: str, count: int) -> None:
    assert len(sentences.sentences(spoken(text))) == count


def test_paragraphs_end_at_pauses_and_after_four_sentences() -> None:
    words = spoken("A1. B2. C3. D4. E5. F6.")
    assert [part["text"] for part in sentences.paragraphs(words)] == ["A1. B2. C3. D4.", "E5. F6."]
    words[5]["start"] += 2000
    assert [part["text"] for part in sentences.paragraphs(words)] == ["A1. B2. C3. D4.", "E5.", "F6."]
