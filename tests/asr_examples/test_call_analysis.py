from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from asr_examples.call_analysis import EVERYONE, analyse_call, failed_call
from asr_examples.call_recordings import Recording
from asr_examples.call_tables import CallRows
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.transcript import Transcript

CALL = Recording("a.wav.0123456789", "a.wav", "/calls/a.wav")
NAMES = {"1": "agent", "2": "customer"}


def said(
    text: str, start_s: float, end_s: float, channel: str | None = "1", confidence: float = 0.95
) -> dict[str, Any]:
    """An utterance whose words fill its time evenly."""
    texts = text.split()
    step = (end_s - start_s) * 1000 / len(texts)
    who = {"speaker": channel, "channel": channel}
    words = [
        {
            "text": word,
            "start": round(start_s * 1000 + place * step),
            "end": round(start_s * 1000 + (place + 1) * step),
            "confidence": confidence,
            **who,
        }
        for place, word in enumerate(texts)
    ]
    times = {"start": words[0]["start"], "end": words[-1]["end"]}
    return {"text": text, "confidence": confidence, "words": words, **times, **who}


def analyse(*utterances: dict[str, Any], seconds: float | None = 30, **fields: Any) -> CallRows:
    raw = {
        "id": "t1",
        "status": "completed",
        "text": " ".join(each["text"] for each in utterances),
        "words": sorted((word for each in utterances for word in each["words"]), key=lambda word: int(word["start"])),
        "utterances": sorted(utterances, key=lambda each: int(each["start"])),
        "audio_duration": seconds,
        "audio_channels": 2,
        "confidence": 0.9,
        "language_code": "en_us",
        **fields,
    }
    return analyse_call(CALL, Transcript(raw), NAMES)


class TestTime:
    def test_the_time_of_a_call_is_talk_and_silence(self) -> None:
        rows = analyse(said("Hello there.", 1, 3), said("Hi.", 5, 6, "2"), said("How are you?", 8, 12))
        assert (rows.call.duration_s, rows.call.talk_s, rows.call.silence_s, rows.call.overlap_s) == (30, 7, 23, 0)
        assert [(row.speaker, row.talk_s, row.turns, row.words) for row in rows.speakers] == [
            ("agent", 6, 2, 5),
            ("customer", 1, 1, 1),
        ]
        assert [row.share for row in rows.speakers] == pytest.approx([6 / 7, 1 / 7], abs=1e-4)

    def test_those_who_speak_at_once_overlap(self) -> None:
        rows = analyse(said("I do think that it is late", 0, 6), said("no it is not", 4, 8, "2"))
        assert (rows.call.talk_s, rows.call.overlap_s) == (8, 2)
        assert [row.talk_s for row in rows.speakers] == [6, 4]

    def test_a_breath_is_talk_and_a_break_is_silence(self) -> None:
        rows = analyse(said("One.", 0, 1), said("Two.", 1.9, 3), said("Three.", 9, 10))
        assert rows.call.talk_s == 4
        assert rows.call.turns == 1

    def test_the_last_word_may_end_after_the_rounded_length(self) -> None:
        rows = analyse(said("Goodbye.", 29.5, 30.4))
        assert rows.call.duration_s == 30.4
        assert rows.call.silence_s == 29.5

    def test_a_service_that_does_not_know_the_length_ends_it_with_the_last_word(self) -> None:
        assert analyse(said("Goodbye.", 1, 2), seconds=None).call.duration_s == 2

    def test_a_turn_without_words_counts_as_a_whole(self) -> None:
        rows = analyse({**said("Only a text.", 1, 4), "words": []})
        assert (rows.call.talk_s, rows.call.words) == (3, 3)
        assert rows.turns[0].confidence is None


@given(
    st.lists(
        st.tuples(st.integers(0, 60_000), st.integers(1, 20_000), st.sampled_from(["1", "2", "3"])),
        max_size=12,
    )
)
def test_talk_and_silence_are_what_counting_the_milliseconds_gives(turns: list[tuple[int, int, str]]) -> None:
    # Tens of milliseconds, so that they can be counted.
    spoken = [said("word", start / 100, (start + length) / 100, channel) for start, length, channel in turns]
    rows = analyse(*spoken, seconds=10)
    heard: dict[str, set[int]] = {}
    for start, length, channel in turns:
        heard.setdefault(channel, set()).update(range(start, start + length))
    for ticks in heard.values():
        # Pauses of up to a second belong to the talk.
        marks = sorted(ticks)
        for before, after in pairwise(marks):
            if 1 < after - before <= 101:
                ticks.update(range(before, after))
    anybody = set().union(*heard.values()) if heard else set()
    together = {tick for tick in anybody if sum(tick in ticks for ticks in heard.values()) > 1}
    assert rows.call.talk_s == pytest.approx(len(anybody) / 100)
    assert rows.call.overlap_s == pytest.approx(len(together) / 100)
    assert rows.call.talk_s is not None
    assert rows.call.silence_s is not None
    assert rows.call.talk_s + rows.call.silence_s == pytest.approx(rows.call.duration_s)
    assert sum(row.share for row in rows.speakers) == pytest.approx(1 if turns else 0, abs=1e-3)


class TestSpeakers:
    def test_a_channel_without_a_name_is_shown_by_its_number(self) -> None:
        assert [row.speaker for row in analyse(said("Hm.", 0, 1, "3")).speakers] == ["channel 3"]

    def test_nobody_is_named_by_the_only_channel_of_a_recording(self) -> None:
        rows = analyse(said("Hello. Hi. How are you?", 0, 4), audio_channels=1)
        assert {row.speaker for row in rows.speakers} == {row.speaker for row in rows.turns} == {EVERYONE}

    def test_who_is_silent_does_not_take_the_name_from_who_speaks(self) -> None:
        assert [row.speaker for row in analyse(said("Hello?", 0, 1, "2")).speakers] == ["customer"]

    def test_a_call_in_which_nobody_speaks_is_a_call(self) -> None:
        rows = analyse(confidence=0.0)
        assert rows.call.status == "completed"
        assert (rows.call.talk_s, rows.call.silence_s, rows.call.turns, rows.call.words) == (0, 30, 0, 0)
        assert (rows.call.confidence, rows.call.sentiment) == (None, None)
        assert not any([rows.speakers, rows.turns, rows.phrases, rows.doubtful])

    def test_speakers_that_the_service_told_apart_are_shown_by_its_names(self) -> None:
        utterance = {**said("Hi.", 0, 1), "speaker": "A", "channel": None}
        assert [row.speaker for row in analyse(utterance, audio_channels=None).turns] == ["speaker A"]

    def test_turns_are_numbered_and_keep_what_was_said(self) -> None:
        rows = analyse(said("Hello there.", 1, 3), said("Hi.", 5, 6, "2"))
        assert [(row.turn, row.speaker, row.start_ms, row.end_ms, row.text) for row in rows.turns] == [
            (1, "agent", 1000, 3000, "Hello there."),
            (2, "customer", 5000, 6000, "Hi."),
        ]


class TestSentiment:
    GOOD = said("That is wonderful, thank you.", 0, 2, "1")
    BAD = said("This is terrible, I am very angry.", 3, 6, "2")

    def test_it_tells_good_from_bad(self) -> None:
        rows = analyse(self.GOOD, self.BAD)
        agent, customer = rows.speakers
        assert agent.sentiment is not None
        assert customer.sentiment is not None
        assert rows.call.sentiment is not None
        assert -1 <= customer.sentiment < -0.3 < 0.3 < agent.sentiment <= 1
        assert customer.sentiment < rows.call.sentiment < agent.sentiment

    def test_it_does_not_grow_with_the_length_of_a_turn(self) -> None:
        once, often = (analyse(said(" ".join(["It is fine."] * count), 0, 9)).call.sentiment for count in (1, 50))
        assert once == often

    @pytest.mark.parametrize("language", ["de", None])
    def test_it_is_not_known_in_languages_that_are_not_read(self, language: str | None) -> None:
        rows = analyse(said("Das ist gut die super", 0, 2), language_code=language)
        assert {rows.call.sentiment, rows.speakers[0].sentiment, rows.turns[0].sentiment} == {None}


class TestPhrases:
    TEXT = "My parcel is late. The delivery driver lost my parcel. A delivery driver should ring the bell."

    def test_they_say_what_the_call_is_about(self) -> None:
        rows = analyse(said(self.TEXT, 0, 9))
        by_phrase = {row.phrase.casefold(): row for row in rows.phrases}
        assert by_phrase["delivery driver"].mentions == 2
        assert all(0 < row.score <= 1 for row in rows.phrases)
        assert [row.score for row in rows.phrases] == sorted((row.score for row in rows.phrases), reverse=True)

    def test_no_phrase_is_part_of_a_better_one(self) -> None:
        phrases = [row.phrase.casefold().split() for row in analyse(said(self.TEXT, 0, 9)).phrases]
        assert not any(
            set(later) <= set(better) for place, better in enumerate(phrases) for later in phrases[place + 1 :]
        )

    def test_courtesies_are_no_phrases(self) -> None:
        rows = analyse(said("Good morning, thank you for calling. How can I help you? Please hold the line.", 0, 9))
        assert not {"good", "morning", "thank", "please"} & {
            word for row in rows.phrases for word in row.phrase.casefold().split()
        }

    @pytest.mark.parametrize(
        ("text", "language"),
        [("Привет, мне нужна помощь с посылкой", "ru"), ("你好我想预约", "zh"), ("x", "xx"), ("1", None)],
    )
    def test_every_language_can_be_read(self, text: str, language: str | None) -> None:
        rows = analyse(said(text, 0, 3), language_code=language)
        assert len({row.phrase for row in rows.phrases}) == len(rows.phrases)


class TestDoubtful:
    def test_the_least_understood_sentences_come_first_and_few(self) -> None:
        turns = [said(f"Say {'so ' * each}now.", each, each + 1, confidence=0.1 * each) for each in range(8, 0, -1)]
        rows = analyse(*turns, said("Clear.", 20, 21, confidence=0.99))
        assert [row.passage for row in rows.doubtful] == [1, 2, 3, 4, 5]
        assert [row.text for row in rows.doubtful] == [f"Say {'so ' * each}now." for each in range(1, 6)]
        assert [row.confidence for row in rows.doubtful] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])

    def test_a_sentence_is_doubted_alone(self) -> None:
        turn = said("This is clear. That is not.", 0, 6)
        for word in turn["words"][3:]:
            word["confidence"] = 0.2
        (row,) = analyse(turn).doubtful
        assert (row.text, row.start_ms, row.end_ms, row.speaker) == ("That is not.", 3000, 6000, "agent")

    def test_what_was_well_understood_is_not_listed(self) -> None:
        assert not analyse(said("All is clear.", 0, 2, confidence=0.95)).doubtful

    def test_a_text_without_full_stops_is_cut(self) -> None:
        rows = analyse(said(" ".join(["word"] * 100), 0, 30, confidence=0.5))
        assert [len(row.text.split()) for row in rows.doubtful] == [40, 40, 20]


class TestFailed:
    def test_a_failed_recording_keeps_its_reason_and_has_nothing_else(self) -> None:
        rows = failed_call(CALL, "It is empty.", "t9")
        assert (rows.call.status, rows.call.error, rows.call.transcript_id) == ("failed", "It is empty.", "t9")
        assert (rows.call.file, rows.call.audio, rows.call.duration_s) == ("a.wav", "/calls/a.wav", None)
        assert not any([rows.speakers, rows.turns, rows.phrases, rows.doubtful])

    def test_a_failure_without_a_reason_says_where_to_look(self) -> None:
        assert "log" in (failed_call(CALL, None, None).call.error or "")
