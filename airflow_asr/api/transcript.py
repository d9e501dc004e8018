"""Views of the service's JSON: thin, lazy, and tolerant of what a newer service adds or leaves out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from airflow_asr.api import fields
from airflow_asr.api.chunks import Chunk, chunks_of
from airflow_asr.api.redaction import redact_url
from airflow_asr.api.spans import Span, Timeline, Turn, Word, pieces_of, turns_of
from airflow_asr.api.utterances import Json, Utterance, objects, read_utterance, read_words

__all__ = [
    "Chunk",
    "Span",
    "Transcript",
    "TranscriptStatus",
    "Turn",
    "Utterance",
    "Word",
]

_GIVE = "Give an output in the format `json`, whole, or the service's reply to a GET of the transcript."
_DELETED_TEXT = "Deleted by user."
_DELETED_URL = "http://deleted_by_user"


class TranscriptStatus:
    """The statuses of a transcript that are known today. A status is a plain ``str``: others may come."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"

    ENDED = frozenset({COMPLETED, ERROR})
    KNOWN = frozenset({QUEUED, PROCESSING, COMPLETED, ERROR})


class Transcript:
    """A transcript as the service gave it.

    Nothing is validated but the presence of an id and a status, because the service adds fields every month and leaves
    out required ones; one of another type than it should have counts as left out. ``raw`` is the whole reply.
    """

    def __init__(self, raw: Json) -> None:
        self.raw = raw

    @classmethod
    def from_json(cls, data: str | bytes) -> Transcript:
        """Return the transcript that an output in the format ``json`` holds.

        Raises:
            ValueError: it holds none. The message says what is wrong, and shows nothing of the text.
        """
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is no transcript: it is not JSON ({error}). {_GIVE}") from None
        if not isinstance(raw, dict):
            raise ValueError(f"This is no transcript: it is JSON, but no object. {_GIVE}")
        for name in ("id", "status"):
            if not isinstance(raw.get(name), str) or not raw[name]:
                raise ValueError(f"This is no transcript: it has no `{name}`. {_GIVE}")
        return cls(raw)

    def __repr__(self) -> str:
        return f"Transcript(id={self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        """The id that the service gave."""
        return str(self.raw["id"])

    @property
    def status(self) -> str:
        """``queued``, ``processing``, ``completed``, ``error``, or what the service may add."""
        return str(self.raw["status"])

    @property
    def ended(self) -> bool:
        """Whether the status can still change."""
        return self.status in TranscriptStatus.ENDED

    @property
    def error(self) -> str | None:
        """Why it failed; ``None`` if it did not. The service writes "no error" as ``null`` and as ``""``."""
        return fields.text(self.raw.get("error")) or None

    @property
    def deleted(self) -> bool:
        """Whether the content was deleted. The service keeps the row, and its status stays ``completed``."""
        return self.raw.get("text") == _DELETED_TEXT or self.raw.get("audio_url") == _DELETED_URL

    @property
    def audio_url(self) -> str | None:
        """The URL that was transcribed, whole: it may grant access. See :attr:`shown_audio_url`."""
        return fields.text(self.raw.get("audio_url")) or None

    @property
    def shown_audio_url(self) -> str | None:
        """The URL that was transcribed, fit to be shown."""
        return redact_url(self.audio_url) if self.audio_url else None

    @property
    def text(self) -> str:
        """The whole text; empty if nobody speaks."""
        return fields.text(self.raw.get("text")) or ""

    @property
    def audio_duration_s(self) -> float | None:
        """Length of the audio in seconds (the service rounds to whole seconds)."""
        seconds: float | None = fields.number(self.raw.get("audio_duration"))
        return seconds

    @property
    def confidence(self) -> float | None:
        """Mean confidence from 0 to 1."""
        confidence: float | None = fields.number(self.raw.get("confidence"))
        return confidence

    @property
    def language_code(self) -> str | None:
        """The language that was asked for or found, as ``en_us``."""
        return fields.text(self.raw.get("language_code"))

    @property
    def speech_model_used(self) -> str | None:
        """The model that ran, which need not be the first that was asked for."""
        return fields.text(self.raw.get("speech_model_used"))

    @cached_property
    def words(self) -> Sequence[Word]:
        """The words in order."""
        return read_words(self.raw.get("words"))

    @cached_property
    def utterances(self) -> Sequence[Utterance]:
        """Runs of speech of one speaker; empty unless ``speaker_labels`` or ``multichannel`` was asked for."""
        return [read_utterance(said) for said in objects(self.raw.get("utterances"))]

    def turns(self, max_gap_ms: float | None = None) -> Sequence[Turn]:
        """Return who spoke after whom: all that a speaker, or a channel, says until somebody else speaks.

        They are made of the utterances, or of the words where utterances are left out or hold fewer words.

        Args:
            max_gap_ms: the longest silence within a turn, in milliseconds; a longer one parts it. Default: any.

        Raises:
            ValueError: ``max_gap_ms`` is less than 0.
        """
        if max_gap_ms is None:
            max_gap_ms = math.inf
        if not max_gap_ms >= 0:  # Also true of what is not a number.
            raise ValueError(f"`max_gap_ms` is {max_gap_ms}. Give milliseconds, 0 or more.")
        return list(turns_of(self._pieces(), max_gap_ms))

    def between(self, start_ms: float, end_ms: float) -> Span:
        """Return what was said from ``start_ms`` to before ``end_ms``, both in milliseconds.

        Words that begin before or end after are part of it. They come by their start, so where channels overlap, words
        of both alternate: ask :meth:`turns` for one speaker after the other.

        Raises:
            ValueError: the interval is empty or negative.
        """
        return self._timeline.between(start_ms, end_ms)

    def chunks(self, max_size: int, *, size: Callable[[str], int] = len, overlap: int = 0) -> Iterator[Chunk]:
        """Yield the transcript in pieces for retrieval; each ends where a sentence does.

        A chunk knows its text, words, start and end in milliseconds, speakers, confidence and index. Where speakers
        change within it, each has a line of its own that names them. A sentence that is longer than ``max_size`` is cut
        between words. Every word is in one chunk, and in no other but for the overlap; a text without words has none.

        Args:
            max_size: the most that a chunk may hold, as ``size`` counts. A single word may be more.
            size: counts a text: by default its characters. To count tokens, give what returns how many a text has.
            overlap: how many sentences of a chunk the next one repeats, as far as they fit.

        Raises:
            ValueError: ``max_size`` is less than 1, or ``overlap`` less than 0.
        """
        return chunks_of(self.turns(), max_size, size, overlap)

    @cached_property
    def _timeline(self) -> Timeline:
        return Timeline(self.words)

    def _pieces(self) -> Iterator[Turn]:
        # An utterance may come without its words. What is said must not be lost for that.
        if sum(len(said.words) for said in self.utterances) < len(self.words):
            yield from pieces_of(self.words)
            return
        for said in self.utterances:
            times = None if said.words else (said.start_ms, said.end_ms)
            yield Turn(said.words, said.text or None, said.speaker, said.channel, times)
