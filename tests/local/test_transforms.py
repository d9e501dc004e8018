"""Fillers, custom spelling and profanity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.local.profanity import masked
from airflow_asr.local.transforms import is_filler, respelled, without_fillers, without_profanity
from airflow_asr.local.words import parts
from tests.local.spoken_words import spoken, text_of

WORDS = st.lists(
    st.sampled_from(["um", "Um,", "uh.", "hmm", "I", "think,", "so.", "sequel", "C", "plus,", "damn", "ER", "7", "—"])
    | st.text(st.characters(blacklist_categories=("Z", "C")), min_size=1, max_size=6),
    max_size=12,
).map(" ".join)


@pytest.mark.parametrize(
    "word", ["um", "Um,", "uhh", "uhm", "hm.", "Hmm,", "mhm", "mm-hmm", "uh-huh", "ah", "huh?", "er"]
)
def test_fillers(word: str) -> None:
    assert is_filler(word)


@pytest.mark.parametrize("word", ["M.", "ER", "UM", "hum", "am", "her", "err-prone", "oh", "a", "—", ""])
def test_words_that_only_look_like_fillers(word: str) -> None:
    assert not is_filler(word)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("I, um, think so.", "I think so."),
        ("Um, so we went, uh.", "So we went."),
        ("Um. Hello there.", "Hello there."),
        ("We went. Uh, then home.", "We went. Then home."),
        ("um uh", ""),
        ("Is it, um, free?", "Is it free?"),
        ("Wait, uh I know.", "Wait, I know."),
        ("Nothing to remove.", "Nothing to remove."),
    ],
)
def test_punctuation_closes_up(said: str, written: str) -> None:
    assert text_of(without_fillers(spoken(said))) == written


@given(WORDS)
def test_what_is_left_keeps_its_times(text: str) -> None:
    words = spoken(text)
    kept = without_fillers(words)
    assert [word["start"] for word in kept] == [word["start"] for word in words if not is_filler(word["text"])]
    assert words == spoken(text)


SPELLINGS = [
    {"from": ["sequel", "s q l"], "to": "SQL"},
    {"from": ["C S 50", "c s"], "to": "CS50"},
    {"from": ["node.js"], "to": "Node"},
]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("We use Sequel, daily.", "We use SQL, daily."),
        ('The "s Q l" way', 'The "SQL" way'),
        ("Take c s 50. Or C S!", "Take CS50. Or CS50!"),
        ("I see. C. S. 50", "I see. C. S. 50"),  # Each of them ends a sentence.
        ("sequels of NODE.JS", "sequels of Node"),
        ("s q", "s q"),
    ],
)
def test_custom_spelling(said: str, written: str) -> None:
    assert text_of(respelled(spoken(said), SPELLINGS)) == written


def test_a_phrase_becomes_one_word_that_lasts_as_long() -> None:
    words = spoken("the s q l way")
    words[2]["confidence"] = 0.2
    (_, merged, last) = respelled(words, SPELLINGS)
    assert (merged["start"], merged["end"], merged["confidence"]) == (500, 1900, 0.2)
    assert last == words[-1]


@given(
    WORDS, st.lists(st.lists(st.sampled_from(["um", "sequel", "c plus", "7 7"]), min_size=1, max_size=3), max_size=3)
)
def test_spelling_loses_no_time(text: str, phrases: list[list[str]]) -> None:
    words = spoken(text)
    written = respelled(words, [{"from": group, "to": "Z"} for group in phrases])
    starts, ends = [word["start"] for word in words], [word["end"] for word in words]
    assert [word["start"] for word in written] == [start for start in starts if start in {w["start"] for w in written}]
    assert (written[0]["start"], written[-1]["end"]) == (starts[0], ends[-1]) if words else not written


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("damn", "d***"),
        ("Damn,", "D***,"),
        ("shit's", "s***'s"),
        ("“Bullshit!”", "“B*******!”"),
        ("FUCKING", "F******"),
        ("dumb-ass", "dumb-a**"),
        ("shitty", "s*****"),
    ],
)
def test_profanity_keeps_its_first_letter(said: str, written: str) -> None:
    assert masked(said) == written


@pytest.mark.parametrize("word", ["assess", "class", "Dick", "Scunthorpe", "passed", "cocktail", "asset", "$", "hello"])
def test_what_is_no_profanity(word: str) -> None:
    assert masked(word) == word


@given(WORDS)
def test_masking_keeps_lengths_and_punctuation(text: str) -> None:
    words = spoken(text)
    for before, after in zip(words, without_profanity(words), strict=True):
        assert len(before["text"]) == len(after["text"])
        assert parts(before["text"])[2] == parts(after["text"])[2]
        assert {**before, "text": ""} == {**after, "text": ""}
