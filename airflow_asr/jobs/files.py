"""Writes a whole file at once: a reader sees the old one or the new one, and never a part."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_asr.api.errors import OutputError

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)


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
        raise _unwritable(path, error) from None


def put_local_file(source: Path, path: UPath) -> None:
    """Write a file of any size from one on this machine's disk, with what :func:`write_file` promises.

    Raises:
        OutputError: it could not be written; nothing of it is visible.
    """
    try:
        if is_local(path):
            _write_local(Path(path.path), source)
        else:
            path.fs.put_file(str(source), path.path)  # Object storage shows it once the last part has come.
    except Exception as error:
        raise _unwritable(path, error) from None


def _unwritable(path: UPath, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return OutputError(f"{path} could not be written ({reason}).")


def unreadable(path: UPath, error: Exception) -> OutputError:
    """Return the error for storage that cannot be read."""
    return OutputError(f"{path} could not be read ({type(error).__name__}: {error}). Check the output's Connection.")


def read_json(path: UPath) -> Any:
    """Return what a JSON file holds; None if it is none.

    Raises:
        FileNotFoundError: it is not there.
        OutputError: the storage cannot be asked.
    """
    try:
        return json.loads(path.fs.cat_file(path.path))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except (ValueError, RecursionError):
        return None
    except Exception as error:
        raise unreadable(path, error) from None


def names_in(folder: UPath) -> list[str]:
    """Return the names of what lies in a folder now; none if there is no such folder.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        folder.fs.invalidate_cache()  # What another run wrote a moment ago must be seen.
        paths = folder.fs.ls(folder.path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:
        raise unreadable(folder, error) from None
    return [str(path).rpartition("/")[2] for path in paths]


def remove(path: UPath) -> None:
    """Remove a file, if it is there. One that stays is named in the log."""
    try:
        path.fs.rm_file(path.path)
    except FileNotFoundError:
        pass
    except Exception as error:
        log.warning("%s could not be removed (%s).", path, type(error).__name__)


def is_local(path: UPath) -> bool:
    """Say whether a path is on this machine's disk."""
    protocol = path.fs.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def _write_local(path: Path, data: bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".asr-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file)
            else:
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
