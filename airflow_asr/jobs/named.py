"""The recordings that a list or a manifest names one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from airflow_asr.api.errors import RequestError
from airflow_asr.api.fields import number


class Named(NamedTuple):
    """A recording as it was named.

    Attributes:
        audio: a path or a URI.
        config: parameters of its own.
        seconds: its length in seconds, if somebody has said so.
    """

    audio: str
    config: Mapping[str, Any] | None = None
    seconds: float | None = None


def elements(rows: Iterable[object]) -> Iterator[Named]:
    """Yield what a list names: paths, URIs, or dicts as in the lines of a manifest.

    Raises:
        RequestError: an element cannot be used.
    """
    for place, row in enumerate(rows):
        yield _named(row if isinstance(row, Mapping) else {"audio": row}, f"`audio`[{place}]")


def lines(file: Iterable[bytes], name: str) -> Iterator[Named]:
    """Yield what a manifest names, a JSON object a line.

    Args:
        file: its lines.
        name: its name, to be shown.

    Raises:
        RequestError: a line cannot be used.
    """
    for line, raw in enumerate(file, 1):
        if not raw.strip():
            continue
        where = f"{name}, line {line}"
        try:
            row = json.loads(raw)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise RequestError(f'{where}, is no JSON object. Write one for each recording: {{"audio": "..."}}.')
        yield _named(row, where)


def _named(row: Mapping[str, Any], where: str) -> Named:
    audio = row.get("audio") or row.get("uri")
    config, seconds = row.get("config"), row.get("seconds")
    if audio is None or not str(audio).strip():
        raise RequestError(f"{where} names no recording: it needs `audio`, a path or a URI.")
    if config is not None and not isinstance(config, Mapping):
        raise RequestError(f"{where}: `config` must be an object of parameter names to values.")
    if seconds is not None and (number(seconds) is None or seconds < 0):
        raise RequestError(f"{where}: `seconds` is {seconds!r}. Give the length of the audio, or leave it out.")
    return Named(str(audio), config or None, None if seconds is None else float(seconds))
