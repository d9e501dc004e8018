"""What people who process text do with a transcript."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.spans import join
from airflow_asr.api.transcript import Transcript, Word
from tests.api.transcripts import json_words, said, scanty_replies, transcript

# Reading -------------------------------------------------------------------------------------------------------------


def test_an_output_is_read_back() -> None:
    text = json.dumps({"id": "t-1", "status": "completed", "text": "Ja.", "words": said("Ja.")})
    for data in (text, text.encode()):
        assert Transcript.from_json(data).words[0].text == "Ja."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "not JSON"),
        ("SECRET", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"id": "t-1", "status": "compl', "not JSON .*column"),
        ("[]", "no object"),
        ("null", "no object"),
        ('{"status": "SECRET"}', "no `id`"),
        ('{"id": "", "status": "completed"}', "no `id`"),
        ('{"id": "t-1", "sentences": ["SECRET"]}', "no `status`"),
        ('{"id": "t-1", "status": 7}', "no `status`"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_reason(data: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"no transcript: .*{reason}.* Give an output in") as refused:
        Transcript.from_json(data)
    assert "SECRET" not in str(refused.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "status", "words"]), inner),
    max_leaves=6,
)


@given(st.binary(max_size=200) | st.text(max_size=200) | json_values.map(json.dumps))
def test_any_data_is_a_transcript_or_a_value_error(data: str | bytes) -> None:
    with contextlib.suppress(ValueError):
        read = Transcript.from_json(data)
        assert (read.id, read.status) == (read.raw["id"], read.raw["status"])


@given(scanty_replies)
def test_a_reply_may_leave_out_everything_that_is_said(reply: dict[str, Any]) -> None:
    read = Transcript.from_json(json.dumps(reply))
    in_turns = [word for turn in read.turns() for word in turn.words]
    assert len(in_turns) >= len(read.words)
    assert [word for chunk in read.chunks(20) for word in chunk.words] == in_turns
    assert read.between(0, 10_000).words == sorted(read.words, key=lambda word: word.start_ms)
    for turn in read.turns(500):
        assert turn.duration_ms >= 0
        assert isinstance(turn.text, str)


def test_a_word_without_times_stays_where_it_is() -> None:
    words: list[dict[str, Any]] = [
        {"text": "a", "start": 500, "end": 600},
        {"text": "b"},
        {"text": "c", "start": 700, "end": None},
    ]
    read = transcript(words, utterances=[{"words": words[1:], "start": 550}])
    assert [(word.start_ms, word.end_ms) for word in read.words] == [(500, 600), (600, 600), (700, 700)]
    assert [word.start_ms for word in read.utterances[0].words] == [550, 700]


def test_an_utterance_without_times_has_those_of_its_words() -> None:
    whole = transcript(
        [], utterances=[{"words": said("Hello.", "A", start=900)}, {"start": 5, "words": said("Hi.", "B", start=10)}]
    )
    assert [(said.start_ms, said.end_ms) for said in whole.utterances] == [(900, 1000), (5, 110)]


def test_words_of_utterances_are_not_read_before_they_are_asked_for() -> None:
    class Watched(dict[str, Any]):
        read = False

        def get(self, key: str, default: object = None) -> Any:
            self.read = self.read or key == "words"
            return super().get(key, default)

    raw = Watched({"text": "Hello.", "start": 0, "end": 100, "speaker": "A", "words": said("Hello.")})
    [utterance] = transcript([], utterances=[raw]).utterances
    assert (utterance.text, utterance.speaker, raw.read) == ("Hello.", "A", False)
    assert [word.speaker for word in utterance.words] == ["A"]
    assert raw.read


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
    assert len(whole.turns(max_gap_ms=700)) == 2
    assert [turn.text for turn in whole.turns(max_gap_ms=699)] == ["Hello there.", "How are you?", "Fine."]
    assert whole.turns()[0].speakers == ("1",)


def test_a_turn_keeps_the_spacing_of_the_service_unless_silence_parts_it() -> None:
    words = [*said("今天很好。"), *said("OK吧。 好。", start=500)]
    utterances = [{"text": "今天很好。", "words": words[:1]}, {"text": "OK吧。  好。", "words": words[1:]}]
    whole = transcript(words, utterances=utterances)
    assert [turn.text for turn in whole.turns()] == ["今天很好。 OK吧。  好。"]
    assert [turn.text for turn in whole.turns(max_gap_ms=399)] == ["今天很好。", "OK吧。  好。"]


def test_silence_is_counted_from_the_end_of_the_longest_word() -> None:
    words = [
        {"text": "Loooong", "start": 0, "end": 1000},
        {"text": "short", "start": 100, "end": 200},
        {"text": "end", "start": 1300, "end": 1400},
    ]
    whole = transcript([], utterances=[{"text": "Loooong,  short; end.", "words": words}])
    assert [turn.text for turn in whole.turns(max_gap_ms=300)] == ["Loooong,  short; end."]
    assert [turn.text for turn in whole.turns(max_gap_ms=299)] == ["Loooong short", "end"]


def test_silence_of_one_channel_is_not_filled_by_another() -> None:
    utterances = [
        {"channel": "2", "words": [{"text": "Looooong.", "start": 0, "end": 9000}]},
        {"channel": "1", "words": said("Yes.", start=1000)},
        {"channel": "1", "words": said("I see.", start=5000)},
    ]
    assert [turn.text for turn in transcript([], utterances=utterances).turns(500)] == ["Looooong.", "Yes.", "I see."]


def test_utterances_without_words_give_way_to_words() -> None:
    utterances = [{"text": "Hello there.", "start": 0, "end": 200, "speaker": "A"}, {"text": "Hi.", "speaker": "B"}]
    [hello, hi] = transcript([*said("Hello there.", "A"), *said("Hi.", "B", start=300)], utterances=utterances).turns()
    assert [len(hello.words), len(hi.words), hi.start_ms] == [2, 1, 300]
    [bare, _] = transcript([], utterances=utterances).turns()
    assert (bare.text, bare.end_ms, list(bare.words), bare.confidence) == ("Hello there.", 200, [], None)


@pytest.mark.parametrize("gap", [-1, float("nan")])
def test_a_gap_that_is_none_is_refused(gap: float) -> None:
    with pytest.raises(ValueError, match=f"`max_gap_ms` is {gap}"):
        transcript([]).turns(max_gap_ms=gap)


@given(json_words, st.none() | st.integers(0, 1000))
def test_turns_hold_every_word_once_and_in_order(words: list[dict[str, Any]], gap: int | None) -> None:
    read = transcript(words)
    turns = read.turns(gap)
    assert [word for turn in turns for word in turn.words] == list(read.words)
    for turn in turns:
        assert len({(word.speaker, word.channel) for word in turn.words}) == 1
    for one, other in itertools.pairwise(turns):
        same = (one.speaker, one.channel) == (other.speaker, other.channel)
        assert not same or (gap is not None and other.words[0].start_ms - max(w.end_ms for w in one.words) > gap)


@given(json_words, st.integers(1, 5), st.none() | st.integers(0, 1000))
def test_turns_of_utterances_hold_every_word_once_and_in_order(
    words: list[dict[str, Any]], length: int, gap: int | None
) -> None:
    utterances = [
        {"speaker": "AB"[first // length % 3 % 2], "words": words[first : first + length]}
        for first in range(0, len(words), length)
    ]
    read = transcript(words, utterances=utterances)
    turns = read.turns(gap)
    spoken = [word for turn in turns for word in turn.words]
    assert [word._replace(speaker=None) for word in spoken] == [word._replace(speaker=None) for word in read.words]
    if gap is None:
        assert all(one.speaker != other.speaker for one, other in itertools.pairwise(turns))


# Between two times ---------------------------------------------------------------------------------------------------


def test_words_that_reach_into_an_interval_belong_to_it() -> None:
    span = transcript(said("one two three four", "A")).between(150, 201)
    assert (span.text, span.start_ms, span.end_ms) == ("two three", 100, 300)
    assert span.confidence == pytest.approx(0.8)
    assert transcript(said("one two")).between(100, 200).text == "two"
    assert transcript(said("one two")).between(0, float("inf")).text == "one two"
    assert transcript(said("one two")).between(200, 300).words == []


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
    with pytest.raises(ValueError, match=f"No interval: from {start} ms to {end} ms"):
        transcript(said("one")).between(start, end)


# Joining -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Hello", "", "there"], "Hello there"),
        (["“谢", "谢。”", "“好。”", "吧"], "“谢谢。”“好。”吧"),
        (["谢谢", "OK", "吧"], "谢谢 OK 吧"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["𠀀", "𠀁"], "𠀀𠀁"),
        (["안녕", "하세요"], "안녕 하세요"),
        (["مرحبا", "بك"], "مرحبا بك"),
        (["“Well”", "😀"], "“Well” 😀"),
        ([], ""),
    ],
)
def test_words_are_joined_as_their_script_is_written(words: list[str], text: str) -> None:
    assert join(words) == text


@given(st.lists(st.text(max_size=4), max_size=6))
def test_joining_changes_nothing_but_the_space_between(words: list[str]) -> None:
    assert join(words).replace(" ", "") == "".join(words).replace(" ", "")
