"""Lists what lies in a folder, a page at a time and in order: an archive may hold a million recordings."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_asr.jobs.files import is_local

if TYPE_CHECKING:
    from upath import UPath

_PAGE = 1000


class Listed(NamedTuple):
    """A file.

    Attributes:
        path: its whole path, as its file system writes it.
        info: what the file system tells of it, at least ``size``.
    """

    path: str
    info: dict[str, Any]


def list_files(folder: UPath) -> Iterator[Listed]:
    """Yield the files in a folder and below it. Memory holds a page, or a folder, at a time.

    What is hidden is left out, and links to folders are not followed.

    Raises:
        Exception: what the file system raises; ``FileNotFoundError`` if there is no such folder on the local disk.
    """
    if is_local(folder):
        yield from _local(folder.path)
    elif hasattr(folder.fs, "call_s3"):
        yield from _s3(folder.fs, folder.path)
    else:
        folder.fs.invalidate_cache()
        yield from _folders(folder.fs, folder.path)


def _local(folder: str) -> Iterator[Listed]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _local(entry.path)
                continue
            info = entry.stat()
        except FileNotFoundError:
            continue  # Gone since, or a link that leads nowhere.
        if stat.S_ISREG(info.st_mode):
            readable = os.access(entry.path, os.R_OK)
            yield Listed(entry.path, {"size": info.st_size, "mtime_ns": info.st_mtime_ns, "readable": readable})


def _s3(fs: Any, folder: str) -> Iterator[Listed]:
    bucket, _, prefix = folder.partition("/")
    prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    more: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE, **more)
        for each in page.get("Contents", ()):
            key = each["Key"]
            if not key.endswith("/") and not _hidden(key[len(prefix) :]):
                yield Listed(f"{bucket}/{key}", {**each, "size": each["Size"]})
        token = page.get("NextContinuationToken")
        if not page.get("IsTruncated") or not token:
            return
        more = {"ContinuationToken": token}


def _folders(fs: Any, folder: str) -> Iterator[Listed]:
    for info in sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"])):
        path = str(info["name"])
        if _hidden(Path(path).name) or path.rstrip("/") == folder.rstrip("/"):
            continue
        if info.get("type") == "directory":
            yield from _folders(fs, path)
        else:
            yield Listed(path, dict(info))


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
