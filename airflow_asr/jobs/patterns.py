"""Which names of a folder are meant: patterns as shells know them, and the endings that audio has."""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import splitext
from typing import NamedTuple

from airflow_asr.api.errors import RequestError
from airflow_asr.api.redaction import redact_url

# What the service's documentation names, and what else its users send. A pattern takes any other, too.
_SUFFIXES = """
3ga 8svx aac ac3 aif aiff alac amr ape au caf dss flac flv m2ts m4a m4b m4p m4r m4v mka mkv mov mp2 mp3 mp4 mpeg mpg
mpga mts mxf oga ogg ogv opus qcp ra ts tta voc wav webm wma wmv wv
"""
AUDIO_SUFFIXES = frozenset(f".{each}" for each in _SUFFIXES.split())
_SPECIAL = re.compile(r"[*?\[]")


def is_audio(key: str) -> bool:
    """Say whether a name ends as that of a recording does."""
    # Not by pathlib, which lets Python intern each name: with a million of them that table alone takes megabytes.
    return splitext(key)[1].lower() in AUDIO_SUFFIXES


class Pattern(NamedTuple):
    """A pattern, in the parts that a listing needs.

    Attributes:
        folder: the folder that everything it matches lies in or below.
        starts: what the path below the folder begins with.
        depth: how many folders below that one it reaches; None if there is no end to it.
        matches: whether a path below the folder matches.
    """

    folder: str
    starts: str
    depth: int | None
    matches: Callable[[str], bool]


def parse(named: str) -> Pattern | None:
    """Return the pattern that a name is; None if it has no special character.

    Raises:
        RequestError: it begins before the first folder, as in the name of a bucket.
    """
    first = _SPECIAL.search(named)
    if first is None:
        return None
    folder = named[: first.start()].rpartition("/")[0]
    separator, place = named.partition("://")[1:]
    if separator and "/" not in place[: max(0, first.start() - len(named) + len(place))]:
        raise RequestError(f"`audio` {redact_url(named)!r}: a pattern begins after the bucket, not in its name.")
    pattern = named[len(folder) + 1 :]
    fullmatch = re.compile(to_regex(pattern), re.DOTALL).fullmatch
    starts = pattern[: first.start() - len(folder) - 1]
    depth = None if "**" in pattern else pattern.count("/")
    return Pattern(folder or "/", starts, depth, lambda key: fullmatch(key) is not None)


def to_regex(pattern: str) -> str:
    """Return a pattern as a regular expression: but for ``**``, nothing in it matches a slash.

    ``**/`` is any number of folders, none too. A bracket that nothing closes is itself.
    """
    made, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            folders = pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/")
            made, at = made + ("(?:.*/)?" if folders else ".*"), at + (3 if folders else 2)
        elif char == "[" and (end := _end_of_set(pattern, at + 1)) is not None:
            made, at = made + _set(pattern[at + 1 : end]), end + 1
        else:
            made, at = made + {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)), at + 1
    return made


def _end_of_set(pattern: str, start: int) -> int | None:
    """Return where the set that starts there ends. A bracket at its beginning belongs to it."""
    negated = pattern.startswith("!", start)
    end = pattern.find("]", start + negated + 1)
    return None if end < 0 else end


def _set(inside: str) -> str:
    negated = inside.startswith("!")
    chars, members, at = inside[negated:], "", 0
    while at < len(chars):
        if chars[at + 1 : at + 2] == "-" and at + 2 < len(chars):
            first, last = chars[at], chars[at + 2]
            members += f"{re.escape(first)}-{re.escape(last)}" if first <= last else ""
            at += 3
        else:
            members, at = members + re.escape(chars[at]), at + 1
    if not members:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{members}]"
