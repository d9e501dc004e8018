"""Pieces of a transcript for retrieval."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.transcript import Transcript
from tests.api.transcripts import json_words, said, transcript


def test_chunks_end_where_sentences_do_and_know_their_times_and_speakers() -> None:
    words = [*said("It broke. We came at once.", "A"), *said("Good. Thank you!", "B", start=1000)]
    chunks = list(transcript(words).chunks(28))
    assert [chunk.text for chunk in chunks] == ["It broke. We came at once.", "Good. Thank you!"]
    assert [(chunk.index, chunk.start_ms, chunk.end_ms) for chunk in chunks] == [(0, 0, 600), (1, 1000, 1300)]
    assert [chunk.speakers for chunk in chunks] == [("A",), ("B",)]
    [whole] = transcript(words).chunks(1000)
    assert whole.text == "A: It broke. We came at once.\nB: Good. Thank you!"
    assert whole.speakers == ("A", "B")


def test_a_chunk_holds_as_many_sentences_as_fit() -> None:
    text = "One two. Three four. Five six. Seven eight."
    for most in range(8, len(text) + 1):
        chunks = list(transcript(said(text)).chunks(most))
        assert " ".join(chunk.text for chunk in chunks) == text
        for chunk, following in itertools.pairwise(chunks):
            if chunk.text.endswith("."):
                assert len(f"{chunk.text} {following.text.partition('.')[0]}.") > most


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    chunks = transcript(said("Yes. This one is longer than it may be. No.")).chunks(13)
    assert [chunk.text for chunk in chunks] == ["Yes.", "This one is", "longer than", "it may be.", "No."]
    assert [chunk.text for chunk in transcript(said("A looooooong word.")).chunks(5)] == ["A", "looooooong", "word."]


def test_without_capitals_or_punctuation_there_are_chunks_too() -> None:
    small = transcript(said("hello there. how are you? fine."))
    assert [chunk.text for chunk in small.chunks(18)] == ["hello there.", "how are you? fine."]
    assert [chunk.text for chunk in transcript(said("so it goes on")).chunks(5)] == ["so it", "goes", "on"]


def test_scripts_without_spaces_are_not_given_any() -> None:
    assert [chunk.text for chunk in transcript(said("今天 很 好。 谢谢 OK 吧。")).chunks(8)] == [
        "今天很好。",
        "谢谢 OK 吧。",
    ]


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


def test_what_is_repeated_makes_room_for_what_is_new() -> None:
    words = said("One. Two. Three four five six.")
    for most, second in ((24, "Three four five six."), (26, "Two. Three four five six.")):
        assert [chunk.text for chunk in transcript(words).chunks(most, overlap=2)] == ["One. Two.", second]


@pytest.mark.parametrize("arguments", [{"max_size": 0}, {"max_size": 10, "overlap": -1}])
def test_chunks_that_cannot_be_are_refused_before_the_first_is_asked_for(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"No chunks of \d+ with an overlap of"):
        transcript(said("one")).chunks(**arguments)


def test_an_utterance_without_words_has_its_words_from_the_transcript() -> None:
    utterances = [{"text": "Hello there.", "start": 0, "end": 200, "speaker": "A"}, {"text": "Hi.", "speaker": "B"}]
    words = [*said("Hello there.", "A"), *said("Hi.", "B", start=300)]
    [chunk] = transcript(words, utterances=utterances).chunks(100)
    assert chunk.text == "A: Hello there.\nB: Hi."
    assert list(transcript([], utterances=utterances).chunks(100)) == []


@pytest.mark.parametrize("max_size", [50, 1000, 30_000, 10**6])
@pytest.mark.parametrize("mark", ["", "."])
def test_a_slow_tokenizer_is_not_asked_to_count_a_text_again_and_again(max_size: int, mark: str) -> None:
    counted = 0

    def size(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return len(text)

    whole = transcript(said(" ".join(f"word{number}{mark if number % 9 == 0 else ''}" for number in range(5000))))
    assert list(whole.chunks(max_size, size=size, overlap=1))[-1].words[-1] == whole.words[-1]
    assert counted < 20 * len(whole.turns()[0].text)


@given(json_words, st.integers(1, 9), st.integers(0, 2), st.randoms(use_true_random=False))
def test_no_counter_can_make_it_lose_words(words: list[dict[str, Any]], most: int, overlap: int, random: Any) -> None:
    read = transcript([{**word, "start": number} for number, word in enumerate(words)])
    chunks = read.chunks(most, size=lambda _: random.randint(0, 20), overlap=overlap)
    assert sorted({word.start_ms for chunk in chunks for word in chunk.words}) == list(range(len(words)))


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


@given(json_words, st.integers(1, 60), st.integers(0, 2))
def test_chunks_of_utterances_hold_what_the_turns_hold(words: list[dict[str, Any]], size: int, overlap: int) -> None:
    halves = [words[: len(words) // 2], words[len(words) // 2 :]]
    read = Transcript(
        {"id": "t-1", "status": "completed", "utterances": [{"speaker": "C", "words": half} for half in halves]}
    )
    spoken = [word for turn in read.turns() for word in turn.words]
    chunks = list(read.chunks(size, overlap=overlap))
    assert [word for chunk in read.chunks(size) for word in chunk.words] == spoken
    for chunk in chunks:
        assert len(chunk.text) <= size or len(chunk.words) == 1
        assert set(chunk.speakers) == {word.speaker for word in chunk.words}
