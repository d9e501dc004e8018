"""The body of an upload: bytes on their way from a file or an iterator to the socket, never all in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Protocol

from airflow_asr.api.errors import InputError

_CHUNK = 1024 * 1024


class BinaryReader(Protocol):
    """What an upload needs of a file object."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""
        ...


class UploadBody:
    """A request body that knows its length where that can be known, and can be sent again where that is possible.

    It has the shape that requests streams from: iterable, and with ``len`` if the length is known.

    Args:
        source: an open binary file or an iterable of ``bytes``.
        size: its length in bytes, if the caller knows it and the source cannot say.

    Raises:
        InputError: the source is empty, was opened as text, or is not made of bytes.
    """

    def __init__(self, source: BinaryReader | Iterable[bytes], size: int | None = None) -> None:
        if isinstance(source, str | bytes | bytearray | os.PathLike):
            raise InputError(
                "An upload takes an open binary file or an iterator of bytes, so that the audio is never whole in "
                f"memory; got {type(source).__name__}."
            )
        self._source = source
        self._start = _position(source)
        self.size = size if size is not None else _remaining(source, self._start)
        if self.size is not None:
            self.len = self.size
        self.failure: Exception | None = None
        if self.size == 0:
            raise InputError("The audio is empty (0 bytes): there is nothing to transcribe.")

    @property
    def repeatable(self) -> bool:
        """Whether the body can be sent a second time."""
        return self._start is not None

    def rewind(self) -> None:
        """Go back to where the source stood at first."""
        if self._start is not None:
            self._source.seek(self._start)  # type: ignore[union-attr]

    def __iter__(self) -> Iterator[bytes]:
        # Exactly `size` bytes, if that is known. requests takes an OSError of the file for one of the connection;
        # `failure` keeps what it really was.
        sent = 0
        try:
            for chunk in self._read():
                if not isinstance(chunk, bytes):
                    raise InputError(
                        f"An upload is made of bytes; got {type(chunk).__name__}. Open the file with 'rb'."
                    )
                sent += len(chunk)
                if self.size is not None and sent > self.size:
                    raise InputError(f"The audio grew while it was uploaded: more than the {self.size} bytes it had.")
                yield chunk
            if self.size is not None and sent < self.size:
                raise InputError(f"The audio shrank while it was uploaded: {sent} of {self.size} bytes.")
        except Exception as error:
            self.failure = error
            raise

    def _read(self) -> Iterator[bytes]:
        if hasattr(self._source, "read"):
            while chunk := self._source.read(_CHUNK):
                yield chunk
        else:
            yield from self._source


def _position(source: object) -> int | None:
    try:
        return source.tell() if source.seekable() else None  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None


def _remaining(source: object, start: int | None) -> int | None:
    if start is None:
        return None
    end: int = source.seek(0, os.SEEK_END)  # type: ignore[attr-defined]
    source.seek(start)  # type: ignore[attr-defined]
    return end - start
