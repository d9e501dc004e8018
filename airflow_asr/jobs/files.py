"""Writes a whole file at once: a reader sees the old one or the new one, and never a part."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_asr.api.errors import OutputError

if TYPE_CHECKING:
    from upath import UPath


def write_file(path: UPath, data: bytes) -> None:
    """Write a file, in the place of one that is there.

    On the local disk a temporary file beside it takes its name when it is safely there. In object storage it is one
    PUT: a stream that breaks off there would commit the part that it had, and there is no renaming. Where a link stands
    in its place, the link is replaced, and what it leads to is left alone; folders that are links are followed.

    Raises:
        OutputError: it could not be written; nothing of it is visible.
    """
    try:
        if is_local(path):
            _write_local(Path(path.path), data)
        else:
            path.fs.pipe_file(path.path, data)
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise OutputError(f"{path} could not be written ({reason}).") from None


def is_local(path: UPath) -> bool:
    """Say whether a path is on this machine's disk."""
    protocol = path.fs.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def _write_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".asr-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the new name survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
