"""Views of the list of transcripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_asr.api import fields
from airflow_asr.api.errors import InvalidReplyError

if TYPE_CHECKING:
    import pendulum

Json = Mapping[str, Any]

# pendulum takes more for a time than names a day: "now", or an hour of today.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].{1,40})?")


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
        return fields.text(self.raw.get("error")) or None

    @property
    def audio_url(self) -> str | None:
        """The URL that was transcribed, whole."""
        return fields.text(self.raw.get("audio_url")) or None

    @property
    def created(self) -> pendulum.DateTime:
        """When it was submitted. Times without a zone are UTC.

        Raises:
            InvalidReplyError: the row does not say.
        """
        return self._time("created")

    @property
    def completed(self) -> pendulum.DateTime | None:
        """When it was completed, if it was.

        Raises:
            InvalidReplyError: the row holds no time.
        """
        return self._time("completed") if self.raw.get("completed") else None

    def _time(self, field: str) -> pendulum.DateTime:
        try:
            return parse_time(fields.text(self.raw.get(field)) or "")
        except ValueError as error:
            raise InvalidReplyError(
                f"The list's row of transcript {self.id} does not say when it was {field}: {error}.",
                transcript_id=self.id,
            ) from None


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

    try:
        moment = pendulum.parse(text, tz="UTC") if _DAY.fullmatch(text) else None
    except (ValueError, OverflowError):
        moment = None
    if not isinstance(moment, pendulum.DateTime):
        raise ValueError(f"not a time: {text[:40]!r}")
    return moment
