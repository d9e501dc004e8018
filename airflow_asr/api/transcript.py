"""Views of the service's JSON: thin, lazy, and tolerant of what a newer service adds or leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_asr.api.redaction import redact_url

if TYPE_CHECKING:
    import pendulum

Json = Mapping[str, Any]

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


class Word(NamedTuple):
    """One word. Times are milliseconds from the start of the audio; ``confidence`` is from 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None
    speaker: str | None
    channel: str | None


class Utterance(NamedTuple):
    """What one speaker, or one channel, said without a break. Times are milliseconds."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None
    speaker: str | None
    channel: str | None

    @property
    def duration_ms(self) -> int:
        """How long it lasted, in milliseconds."""
        return max(self.end_ms - self.start_ms, 0)


class Transcript:
    """A transcript as the service gave it.

    Nothing is validated but the presence of an id and a status, because the service adds fields every month and leaves
    out required ones. ``raw`` is the whole reply.
    """

    def __init__(self, raw: Json) -> None:
        self.raw = raw

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
        return self.raw.get("error") or None

    @property
    def deleted(self) -> bool:
        """Whether the content was deleted. The service keeps the row, and its status stays ``completed``."""
        return self.raw.get("text") == _DELETED_TEXT or self.raw.get("audio_url") == _DELETED_URL

    @property
    def audio_url(self) -> str | None:
        """The URL that was transcribed, whole: it may grant access. See :attr:`shown_audio_url`."""
        return self.raw.get("audio_url") or None

    @property
    def shown_audio_url(self) -> str | None:
        """The URL that was transcribed, fit to be shown."""
        return redact_url(self.audio_url) if self.audio_url else None

    @property
    def text(self) -> str:
        """The whole text; empty if nobody speaks."""
        return self.raw.get("text") or ""

    @property
    def audio_duration_s(self) -> float | None:
        """Length of the audio in seconds (the service rounds to whole seconds)."""
        return self.raw.get("audio_duration")

    @property
    def confidence(self) -> float | None:
        """Mean confidence from 0 to 1."""
        return self.raw.get("confidence")

    @property
    def language_code(self) -> str | None:
        """The language that was asked for or found, as ``en_us``."""
        return self.raw.get("language_code")

    @property
    def speech_model_used(self) -> str | None:
        """The model that ran, which need not be the first that was asked for."""
        return self.raw.get("speech_model_used")

    @cached_property
    def words(self) -> Sequence[Word]:
        """The words in order."""
        return [
            Word(
                word["text"],
                word["start"],
                word["end"],
                word.get("confidence"),
                word.get("speaker"),
                word.get("channel"),
            )
            for word in self.raw.get("words") or ()
        ]

    @cached_property
    def utterances(self) -> Sequence[Utterance]:
        """Runs of speech of one speaker; empty unless ``speaker_labels`` or ``multichannel`` was asked for."""
        return [
            Utterance(
                turn["text"],
                turn["start"],
                turn["end"],
                turn.get("confidence"),
                turn.get("speaker"),
                turn.get("channel"),
            )
            for turn in self.raw.get("utterances") or ()
        ]


@dataclass(frozen=True)
class TranscriptListItem:
    """A row of the list: everything that the list tells of a transcript.

    ``audio_url`` may grant access and is kept out of the repr.
    """

    raw: Json

    def __repr__(self) -> str:
        return f"TranscriptListItem(id={self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        """The transcript's id."""
        return str(self.raw["id"])

    @property
    def status(self) -> str:
        """The transcript's status."""
        return str(self.raw["status"])

    @property
    def error(self) -> str | None:
        """Why it failed; ``None`` if it did not."""
        return self.raw.get("error") or None

    @property
    def audio_url(self) -> str | None:
        """The URL that was transcribed, whole."""
        return self.raw.get("audio_url") or None

    @property
    def created(self) -> pendulum.DateTime:
        """When it was submitted. Times without a zone are UTC."""
        return parse_time(self.raw["created"])

    @property
    def completed(self) -> pendulum.DateTime | None:
        """When it was completed, if it was."""
        return parse_time(self.raw["completed"]) if self.raw.get("completed") else None


@dataclass(frozen=True)
class TranscriptPage:
    """One page of the list, newest first.

    Attributes:
        items: the rows.
        older: the ``before_id`` that gives the next older page; ``None`` on the oldest.
    """

    items: Sequence[TranscriptListItem]
    older: str | None

    def __iter__(self) -> Iterator[TranscriptListItem]:
        return iter(self.items)


def parse_time(text: str) -> pendulum.DateTime:
    """Return a time that the service wrote; it does so with and without ``Z``, and means UTC.

    Raises:
        ValueError: it is no time.
    """
    import pendulum

    moment = pendulum.parse(text, tz="UTC")
    if not isinstance(moment, pendulum.DateTime):
        raise ValueError(f"not a time: {text!r}")
    return moment
