"""What the DAG ``transcribe_calls`` works out about a call: who speaks when, about what, and in which mood.

Key phrases come from YAKE, for the language of the call. Sentiment comes from VADER, a list of English words and their
moods with rules for negation and emphasis: it is quick and always says the same, and it knows no irony. Calls in other
languages have no sentiment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_asr.api.sentences import ends_sentence
from airflow_asr.api.spans import Span
from asr_examples.call_recordings import Recording
from asr_examples.call_tables import CallRow, CallRows, DoubtfulRow, PhraseRow, SpeakerRow, TurnRow
from asr_examples.phrases import key_phrases

if TYPE_CHECKING:
    from airflow_asr.api.spans import Turn
    from airflow_asr.api.transcript import Transcript

EVERYONE = "everyone"
"""The speaker, where speakers cannot be told apart."""

_PAUSE_MS = 1000  # Who goes on after this has spoken all the time.
_PHRASES = 8
_DOUBTFUL = 5
_SURE = 0.9  # Passages above this mean confidence are not worth a listener's time.
_LONGEST_SENTENCE = 40  # Words, where a service writes no full stops.

Times = tuple[int, int]
"""Start and end in milliseconds."""


class _Turn(NamedTuple):
    speaker: str
    said: Turn


def failed_call(call: Recording, reason: str | None, transcript_id: str | None) -> CallRows:
    """Return the rows of a recording that has no text."""
    return CallRows(
        CallRow(
            *call,
            transcript_id=transcript_id,
            status="failed",
            error=reason or "Its task ended without a reason; the task's log may have one.",
            duration_s=None,
            talk_s=None,
            silence_s=None,
            overlap_s=None,
            turns=None,
            words=None,
            confidence=None,
            sentiment=None,
            language_code=None,
        )
    )


def analyse_call(call: Recording, transcript: Transcript, channels: Mapping[str, str]) -> CallRows:
    """Return the rows of a call.

    Args:
        call: the recording.
        transcript: of the call.
        channels: the name of the speaker on each channel, as ``{"1": "agent"}``. A recording with one channel has
            everyone on it, so no name is used.
    """
    turns = list(_turns(transcript, channels))
    spoken = {name: _spoken(turn.said for turn in turns if turn.speaker == name) for name in _names(turns)}
    anybody_ms, together_ms = _cover(span for spans in spoken.values() for span in spans)
    # The service rounds the length to seconds, so the last word may end after it.
    duration_ms = max([round((transcript.audio_duration_s or 0) * 1000), *(turn.said.end_ms for turn in turns)])
    english = (transcript.language_code or "").lower().startswith("en")
    turn_rows = [_turn_row(call.call_id, number, turn, english) for number, turn in enumerate(turns, start=1)]
    return CallRows(
        call=CallRow(
            *call,
            transcript_id=transcript.id,
            status="completed",
            error=None,
            duration_s=_seconds(duration_ms),
            talk_s=_seconds(anybody_ms),
            silence_s=_seconds(duration_ms - anybody_ms),
            overlap_s=_seconds(together_ms),
            turns=len(turns),
            words=sum(row.words for row in turn_rows),
            confidence=transcript.confidence if turns else None,
            sentiment=_mood(turn_rows),
            language_code=transcript.language_code,
        ),
        speakers=_speaker_rows(call.call_id, spoken, turn_rows),
        turns=turn_rows,
        phrases=_phrase_rows(call.call_id, turns, transcript.language_code),
        doubtful=_doubtful_rows(call.call_id, turns),
    )


def _turns(transcript: Transcript, channels: Mapping[str, str]) -> Iterator[_Turn]:
    mixed = transcript.raw.get("audio_channels") == 1
    for turn in transcript.turns():
        if mixed or not (turn.channel or turn.speaker):
            name = EVERYONE
        elif turn.channel:
            name = channels.get(turn.channel) or f"channel {turn.channel}"
        else:
            name = f"speaker {turn.speaker}"
        yield _Turn(name, turn)


def _names(turns: Iterable[_Turn]) -> list[str]:
    return sorted({turn.speaker for turn in turns})


def _spoken(turns: Iterable[Turn]) -> list[Times]:
    """Return when one speaker speaks: their words, with the short pauses between them."""
    spans: list[Times] = []
    for start, end in sorted(times for turn in turns for times in _times(turn)):
        if spans and start - spans[-1][1] <= _PAUSE_MS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans


def _times(turn: Turn) -> list[Times]:
    # A turn may come without words, only with its text.
    times = [(word.start_ms, word.end_ms) for word in turn.words] or [(turn.start_ms, turn.end_ms)]
    return [(start, max(start, end)) for start, end in times]


def _cover(spans: Iterable[Times]) -> tuple[int, int]:
    """Return for how many milliseconds at least one span lasts, and for how many at least two do."""
    edges = sorted(edge for start, end in spans for edge in ((start, 1), (end, -1)))
    one = two = open_spans = 0
    before = 0
    for time, change in edges:
        one += (time - before) * (open_spans >= 1)
        two += (time - before) * (open_spans >= 2)
        open_spans += change
        before = time
    return one, two


def _turn_row(call_id: str, number: int, turn: _Turn, english: bool) -> TurnRow:
    said = turn.said
    return TurnRow(
        call_id=call_id,
        turn=number,
        speaker=turn.speaker,
        start_ms=said.start_ms,
        end_ms=said.end_ms,
        words=len(said.words or said.text.split()),
        confidence=_rounded(said.confidence),
        sentiment=_sentiment(said) if english else None,
        text=said.text,
    )


def _speaker_rows(call_id: str, spoken: Mapping[str, Sequence[Times]], turns: Sequence[TurnRow]) -> list[SpeakerRow]:
    talk_ms = {name: sum(end - start for start, end in spans) for name, spans in spoken.items()}
    all_ms = sum(talk_ms.values())
    rows = []
    for name, ms in talk_ms.items():
        own = [turn for turn in turns if turn.speaker == name]
        rows.append(
            SpeakerRow(
                call_id=call_id,
                speaker=name,
                talk_s=_seconds(ms),
                share=round(ms / all_ms, 4) if all_ms else 0.0,
                turns=len(own),
                words=sum(turn.words for turn in own),
                sentiment=_mood(own),
            )
        )
    return rows


def _phrase_rows(call_id: str, turns: Sequence[_Turn], language_code: str | None) -> list[PhraseRow]:
    # By turns: the text of the whole call mixes the words of people who speak at once.
    text = "\n".join(turn.said.text for turn in turns)
    found = key_phrases(text, language_code, _PHRASES)
    return [PhraseRow(call_id, phrase, score, _mentions(phrase, text)) for phrase, score in found]


def _mentions(phrase: str, text: str) -> int:
    pattern = r"\s+".join(re.escape(word) for word in phrase.split())
    return max(len(re.findall(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)), 1)


def _doubtful_rows(call_id: str, turns: Sequence[_Turn]) -> list[DoubtfulRow]:
    heard = [(turn.speaker, sentence) for turn in turns for sentence in _sentences(turn.said)]
    unsure = [
        (confidence, sentence.start_ms, speaker, sentence)
        for speaker, sentence in heard
        if (confidence := _rounded(sentence.confidence)) is not None and confidence < _SURE
    ]
    worst = sorted(unsure, key=lambda each: each[:2])[:_DOUBTFUL]
    return [
        DoubtfulRow(call_id, number, speaker, start_ms, sentence.end_ms, confidence, sentence.text)
        for number, (confidence, start_ms, speaker, sentence) in enumerate(worst, start=1)
    ]


def _sentences(said: Turn) -> Iterator[Span]:
    words, start = said.words, 0
    for end, word in enumerate(words, start=1):
        full = end == len(words) or end - start == _LONGEST_SENTENCE
        if full or ends_sentence(word.text, words[end].text):
            yield Span(words[start:end])
            start = end


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def _sentiment(said: Turn) -> float | None:
    """Return the mood of what was said, from -1 to 1."""
    # Sentence by sentence, as VADER is meant to be used: a long text always ends up near -1 or 1.
    texts = [sentence.text for sentence in _sentences(said)] or [said.text]
    return _mean((_analyser().polarity_scores(text)["compound"], len(text.split())) for text in texts)


@cache
def _analyser() -> Any:
    from vader import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def _mood(turns: Sequence[TurnRow]) -> float | None:
    """Return the mean sentiment of turns, each by its words; ``None`` if it is not known."""
    return _mean((turn.sentiment, turn.words) for turn in turns if turn.sentiment is not None)


def _mean(weighted: Iterable[tuple[float, int]]) -> float | None:
    """Return the mean of values with their weights; ``None`` if they weigh nothing."""
    values = list(weighted)
    weight = sum(words for _, words in values)
    return round(sum(value * words for value, words in values) / weight, 4) if weight else None


def _seconds(ms: int) -> float:
    return round(ms / 1000, 3)
