"""Lists what lies in a folder, a page at a time and in order: an archive may hold a million recordings."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_asr.api.redaction import visible
from airflow_asr.jobs.files import is_local

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

_PAGE = 1000


class Listed(NamedTuple):
    """A file.

    Attributes:
        path: its whole path, as its file system writes it.
        info: what the file system tells of it, at least ``size``; ``fault`` says why it cannot be read, if that is so.
    """

    path: str
    info: dict[str, Any]


def list_files(folder: UPath, *, starts: str = "", depth: int | None = None) -> Iterator[Listed]:
    """Yield the files in a folder and below it. Memory holds a page, or the names of a folder, at a time.

    What is hidden is left out, and links to folders below it are not followed: they may lead in a circle, or to the
    same recordings under another name.

    Args:
        folder: the folder.
        starts: what the path below the folder begins with; no slash.
        depth: how many folders to go down; None for all.

    Raises:
        Exception: what the file system raises; ``FileNotFoundError`` if there is no such folder on the local disk.
    """
    if is_local(folder):
        yield from _local(folder.path, starts, depth)
    elif hasattr(folder.fs, "call_s3"):
        yield from _s3(folder.fs, folder.path, starts, depth)
    else:
        folder.fs.invalidate_cache()
        yield from _folders(folder.fs, folder.path, starts, depth)


def _local(root: str, starts: str, depth: int | None) -> Iterator[Listed]:
    open_folders = [(root, _names(root, starts))]  # Not by recursion: folders may be nested deeper than it goes.
    while open_folders:
        folder, names = open_folders[-1]
        if not names:
            open_folders.pop()
            continue
        path = os.path.join(folder, names.pop())
        try:
            found = os.stat(path)
        except OSError as error:
            if os.path.islink(path):
                reason = f"it is a link that leads nowhere ({error.strerror})"
                yield Listed(path, {"size": 0, "mtime_ns": 0, "fault": reason})
                continue
            if isinstance(error, FileNotFoundError):
                continue  # Gone since.
            raise
        if stat.S_ISREG(found.st_mode):
            info = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
            yield Listed(path, info if os.access(path, os.R_OK) else {**info, "fault": "permission denied"})
        elif stat.S_ISDIR(found.st_mode) and (depth is None or len(open_folders) <= depth):
            if os.path.islink(path):
                log.warning("%s is a link to a folder. It is not followed: name that folder itself.", visible(path))
            else:
                open_folders.append((path, _names(path)))


def _names(folder: str, starts: str = "") -> list[str]:
    """Return the names in a folder, the last one first. Nothing but names: of a million, that is what memory takes."""
    found = (name for name in os.listdir(folder) if name.startswith(starts) and not name.startswith("."))
    return sorted(found, reverse=True)


def _s3(fs: Any, folder: str, starts: str, depth: int | None) -> Iterator[Listed]:
    bucket, _, prefix = folder.partition("/")
    prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    more: dict[str, str] = {"Delimiter": "/"} if depth == 0 else {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix + starts, MaxKeys=_PAGE, **more)
        for each in page.get("Contents", ()):
            key = each["Key"]
            if not key.endswith("/") and not _hidden(key[len(prefix) :]):
                yield Listed(f"{bucket}/{key}", {**each, "size": each["Size"]})
        token = page.get("NextContinuationToken")
        if not page.get("IsTruncated") or not token:
            return
        more["ContinuationToken"] = token


def _folders(fs: Any, folder: str, starts: str, depth: int | None) -> Iterator[Listed]:
    found = sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"]))
    fs.invalidate_cache(folder)  # Else the file system would keep every folder that was listed.
    for info in found:
        path = str(info["name"])
        name = PurePosixPath(path).name
        if _hidden(name) or not name.startswith(starts) or path.rstrip("/") == folder.rstrip("/"):
            continue
        if info.get("type") != "directory":
            yield Listed(path, dict(info))
        elif depth is None or depth > 0:
            yield from _folders(fs, path, "", None if depth is None else depth - 1)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))
