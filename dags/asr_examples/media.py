"""Finds the video and audio files that somebody named in a form, and names a place in one."""

from __future__ import annotations

import re

_WEB = re.compile(r"https?://", re.IGNORECASE)

MEDIA = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv"),
    *(".qt", ".ts", ".webm", ".wmv"),
    *(".aac", ".ac3", ".aif", ".aiff", ".alac", ".amr", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".oga"),
    *(".ogg", ".opus", ".wav", ".wma"),
)
"""The endings of files that are taken from a folder."""


def is_web(place: str) -> bool:
    """Say whether this is a web address."""
    return bool(_WEB.match(place))


def files_in(place: str) -> list[str]:
    """Return the video and audio files in a folder, by name; a file or a web address is all that is in it.

    A file need not exist: the task that reads it says so, and the others go on.

    Args:
        place: an absolute local path, an object storage URI as ``s3://conn_id@bucket/folder``, or a web address.

    Raises:
        FileNotFoundError: a folder has no video or audio in it.
    """
    from airflow.sdk import ObjectStoragePath

    if is_web(place) or place.lower().endswith(MEDIA):
        return [place]
    folder = ObjectStoragePath(place)
    if not folder.is_dir():
        return [place]
    files = sorted(str(file) for file in folder.iterdir() if file.name.lower().endswith(MEDIA))
    if not files:
        raise FileNotFoundError(f"There is no video or audio in the folder {place}.")
    return files


def clock(ms: int) -> str:
    """Return a time as ``1:02:03.4``, or ``02:03.4`` in the first hour."""
    tenths = ms // 100
    minutes, seconds = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02}:{seconds:02}.{tenths % 10}"
