"""What people who process text do with a transcript."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.spans import Word, join
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


# Reading -------------------------------------------------------------------------------------------------------------


def test_an_output_is_read_back() -> None:
    text = json.dumps({"id": "t-1", "status": "completed", "text": "Ja.", "words": said("Ja.")})
    for data in (text, text.encode()):
        assert Transcript.from_json(data).words[0].text == "Ja."


@pytest.mark.parametrize(
    "data", ["", "[]", "null", "7", "{}", '{"id": "t-1"}', '{"status": "completed"}', b"\xff\xfe", "["]
)
def test_what_is_no_transcript_is_refused_with_the_reason(data: str | bytes) -> None:
    with pytest.raises(ValueError, match="This is no transcript"):
        Transcript.from_json(data)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_else_is_raised_by_any_bytes(data: str | bytes) -> None:
    with pytest.raises(ValueError, match="no transcript"):
        Transcript.from_json(data)


def test_what_is_left_out_or_null_is_no_trouble() -> None:
    word = {"text": None, "start": None, "end": None}
    read = transcript([word, {}], utterances=[{"words": None}, {}])
    assert read.words[0] == Word("", 0, 0, None, None, None)
    assert [turn.text for turn in read.turns()] == [""]
    assert transcript([]).turns() == []
    assert list(transcript([]).chunks(10)) == []
    assert transcript([]).between(0, 10).confidence is None


# Turns ---------------------------------------------------------------------------------------------------------------


def test_turns_of_words_change_with_the_speaker() -> None:
    words = [*said("Hello there.", "A"), *said("Hi.", "B", start=300), *said("Well.", "A", start=500)]
    turns = transcript(words).turns()
    assert [(turn.speaker, turn.text) for turn in turns] == [("A", "Hello there."), ("B", "Hi."), ("A", "Well.")]
    assert (turns[0].start_ms, turns[0].end_ms, turns[0].duration_ms) == (0, 200, 200)
    assert turns[0].confidence == pytest.approx(0.8)


def test_utterances_of_one_speaker_in_a_row_are_one_turn() -> None:
    utterances = [
        {"text": "Hello there.", "start": 0, "end": 200, "channel": "1", "words": said("Hello there.")},
        {"text": "How are you?", "start": 900, "end": 1200, "channel": "1", "words": said("How are you?", start=900)},
        {"text": "Fine.", "start": 1100, "end": 1300, "channel": "2", "words": said("Fine.", start=1100)},
    ]
    whole = transcript([], utterances=utterances)
    assert [(turn.channel, turn.text) for turn in whole.turns()] == [("1", "Hello there. How are you?"), ("2", "Fine.")]
    assert [turn.text for turn in whole.turns(max_gap_ms=500)] == ["Hello there.", "How are you?", "Fine."]
    assert whole.turns()[0].speakers == ("1",)


def test_a_negative_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="max_gap_ms"):
        transcript([]).turns(max_gap_ms=-1)


json_words = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.text(st.characters(blacklist_categories=("Cs", "Z", "C")), min_size=1, max_size=6)
            | st.sampled_from(["End.", "Really?", "Mr.", "3.", "e.g.", "终。", "了", "?!"]),
            "start": st.integers(0, 5000),
            "end": st.integers(0, 5000),
            "confidence": st.none() | st.floats(0, 1),
            "speaker": st.sampled_from([None, "A", "B"]),
        }
    ),
    max_size=40,
)


@given(json_words, st.none() | st.integers(0, 1000))
def test_turns_hold_every_word_once_and_in_order(words: list[dict[str, Any]], gap: int | None) -> None:
    read = transcript(words)
    turns = read.turns(gap)
    assert [word for turn in turns for word in turn.words] == list(read.words)
    for turn in turns:
        assert len({(word.speaker, word.channel) for word in turn.words}) == 1
    if gap is None:
        assert all(one.speaker != other.speaker for one, other in itertools.pairwise(turns))


# Between two times ---------------------------------------------------------------------------------------------------


def test_words_that_reach_into_an_interval_belong_to_it() -> None:
    span = transcript(said("one two three four", "A")).between(150, 201)
    assert (span.text, span.start_ms, span.end_ms) == ("two three", 100, 300)
    assert span.confidence == pytest.approx(0.8)
    assert transcript(said("one two")).between(100, 200).text == "two"


@given(json_words, st.integers(0, 5000), st.integers(1, 3000))
def test_between_finds_what_a_plain_search_finds(words: list[dict[str, Any]], start: int, length: int) -> None:
    read = transcript(words)
    end = start + length
    plain = [w for w in read.words if w.start_ms < end and max(w.end_ms, w.start_ms + 1) > start]
    found = read.between(start, end)
    assert sorted(map(repr, found.words)) == sorted(map(repr, plain))
    assert [word.start_ms for word in found.words] == sorted(word.start_ms for word in plain)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5), (-1, 5), (float("nan"), 5)])
def test_an_interval_that_is_none_is_named(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="No interval"):
        transcript(said("one")).between(start, end)


# Chunks --------------------------------------------------------------------------------------------------------------


def test_chunks_end_where_sentences_do_and_know_their_times_and_speakers() -> None:
    words = [*said("It broke. We came at once.", "A"), *said("Good. Thank you!", "B", start=1000)]
    chunks = list(transcript(words).chunks(28))
    assert [chunk.text for chunk in chunks] == ["It broke. We came at once.", "Good. Thank you!"]
    assert [(chunk.index, chunk.start_ms, chunk.end_ms) for chunk in chunks] == [(0, 0, 600), (1, 1000, 1300)]
    assert [chunk.speakers for chunk in chunks] == [("A",), ("B",)]
    [whole] = transcript(words).chunks(1000)
    assert whole.text == "A: It broke. We came at once.\nB: Good. Thank you!"
    assert whole.speakers == ("A", "B")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Ask Mr. Smith today. He knows.", ["Ask Mr. Smith today.", "He knows."]),
        ("We met J. R. Ewing. Really?", ["We met J. R. Ewing.", "Really?"]),
        ("It costs 3.50 today. Right.", ["It costs 3.50 today.", "Right."]),
        ("See you at 6. Thank you.", ["See you at 6.", "Thank you."]),
        ("Fruit, e.g. Apples, helps. Yes.", ["Fruit, e.g. Apples, helps.", "Yes."]),
        ("Well... maybe not. No!", ["Well... maybe not.", "No!"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("आप कैसे हैं। ठीक हूँ।", ["आप कैसे हैं।", "ठीक हूँ।"]),
        ("هل أنت بخير؟ نعم.", ["هل أنت بخير؟", "نعم."]),
    ],
)
def test_sentences_end_where_people_end_them(text: str, sentences: list[str]) -> None:
    assert [chunk.text for chunk in transcript(said(text)).chunks(max(map(len, sentences)))] == sentences


def test_scripts_without_spaces_are_not_given_any() -> None:
    assert [chunk.text for chunk in transcript(said("今天 很 好。 谢谢 OK 吧。")).chunks(8)] == [
        "今天很好。",
        "谢谢 OK 吧。",
    ]
    assert join(["Hello", "", "there"]) == "Hello there"


def test_the_size_may_count_anything() -> None:
    words = said("One two three. Four five. Six.")
    chunks = transcript(words).chunks(3, size=lambda text: len(text.split()))
    assert [chunk.text for chunk in chunks] == ["One two three.", "Four five. Six."]


def test_the_next_chunk_may_begin_with_the_last_sentences_of_the_one_before() -> None:
    words = said("One one. Two two. Three three.")
    assert [chunk.text for chunk in transcript(words).chunks(20, overlap=1)] == [
        "One one. Two two.",
        "Three three.",
    ]
    assert [chunk.text for chunk in transcript(words).chunks(22, overlap=1)] == [
        "One one. Two two.",
        "Two two. Three three.",
    ]


@pytest.mark.parametrize("arguments", [{"max_size": 0}, {"max_size": 10, "overlap": -1}])
def test_chunks_that_cannot_be_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="No chunks"):
        list(transcript(said("one")).chunks(**arguments))


@given(json_words, st.integers(1, 60))
def test_chunks_hold_every_word_once_and_are_no_larger_than_asked(words: list[dict[str, Any]], size: int) -> None:
    read = transcript(words)
    chunks = list(read.chunks(size))
    assert [word for chunk in chunks for word in chunk.words] == list(read.words)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert len(chunk.text) <= size or len(chunk.words) == 1


@given(json_words, st.integers(1, 60), st.integers(1, 3))
def test_overlap_repeats_only_the_end_of_the_chunk_before(words: list[dict[str, Any]], size: int, overlap: int) -> None:
    read = transcript([{**word, "start": number} for number, word in enumerate(words)])
    held = [[word.start_ms for word in chunk.words] for chunk in read.chunks(size, overlap=overlap)]
    next_new = 0
    for numbers in held:
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[0] <= next_new <= numbers[-1]
        next_new = numbers[-1] + 1
    assert next_new == len(words)
