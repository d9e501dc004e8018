"""Views of the list of transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pendulum

Json = Mapping[str, Any]


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
