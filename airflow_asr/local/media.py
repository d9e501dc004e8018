"""Telling files that cannot be audio from those that may be, before a recogniser is bothered with them."""

from __future__ import annotations

from pathlib import Path

_HEAD_BYTES = 4096
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\b\x1b")


def not_audio(kind: str) -> str:
    """The error of a transcript whose file is no audio."""
    return f"Transcoding failed. File does not appear to contain audio. File type is {kind}"


def head_of(path: Path) -> bytes:
    """The beginning of a file."""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def text_type(head: bytes) -> str | None:
    """The media type if the beginning of a file reads as text, else None."""
    if not head:
        return "inode/x-empty"
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head):
        return None
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The last character may be cut off.
        if len(head) < _HEAD_BYTES or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8-sig")
    start = text.lstrip().lower()
    return "text/html" if start.startswith(("<!doctype html", "<html")) else "text/plain"
