"""Where the archive of the DAG ``transcribe_archive`` is, and which part of it a run is for."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

VARIABLE = "transcribe_archive"
DAY_FORMAT = "%Y-%m-%d"
_EXAMPLE = '{"archive": "s3://conn_id@bucket/calls", "output_path": "s3://conn_id@bucket/text"}'
_REQUIRED = ("archive", "output_path")
_OPTIONAL: dict[str, Any] = {
    "config": {},
    "limits": {},
    "budget": {},
    "max_failures": 0,
    "assemblyai_conn_id": "assemblyai_default",
}
_HOW = "Give it {what}: in the field Partition Key of the trigger form, or as `partition_key` over REST"
_BACKFILL = (
    "On the command line: airflow backfill create --dag-id transcribe_archive --from-date 2026-09-01 --to-date "
    "2026-09-01 --reprocess-behavior completed"
)


class Place(NamedTuple):
    """The folder of a day in the archive.

    Attributes:
        folder: its path or URI.
        empty: why there is nothing to do; None if there is something in it.
    """

    folder: str
    empty: str | None


def settings() -> dict[str, Any]:
    """Return what the Variable says, with the defaults for what it does not.

    Raises:
        LookupError: it is not there, or could not be read just now: Airflow does not tell which.
        ValueError: it cannot be used; the message says why.
    """
    from airflow.sdk import Variable
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        # Not by Airflow's `deserialize_json`: it takes a Variable that is no JSON for one that is not there.
        given = json.loads(Variable.get(VARIABLE))
    except AirflowRuntimeError as error:
        raise LookupError(f"There is no Variable {VARIABLE} to be read ({error}). Set it, as {_EXAMPLE}.") from None
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ValueError(f"The Variable {VARIABLE} is no JSON object. Set it, as {_EXAMPLE}.")
    given = {name: value for name, value in given.items() if value is not None}
    if unknown := given.keys() - {*_REQUIRED, *_OPTIONAL}:
        names = ", ".join([*_REQUIRED, *_OPTIONAL])
        raise ValueError(f"The Variable {VARIABLE} has no {', '.join(sorted(unknown))}. There are: {names}.")
    if missing := [name for name in _REQUIRED if not given.get(name)]:
        raise ValueError(f"The Variable {VARIABLE} does not say {' and '.join(missing)}. Set it, as {_EXAMPLE}.")
    return {**_OPTIONAL, **given}


def day_of(partition_key: str | None) -> date:
    """Return the day that a run is for.

    Raises:
        ValueError: it has no key, or one that is no day. The message says what to give.
    """
    how = f"{_HOW.format(what='a day as 2026-09-01')}. {_BACKFILL}"
    if partition_key is None:
        raise ValueError(f"This run has no partition key, so nobody can tell which day of the archive it is for. {how}")
    return _date(partition_key, "day", how)


def week_of(partition_key: str | None) -> list[date]:
    """Return the seven days of the week that a run is for. Its key is its Monday.

    Raises:
        ValueError: it has no key, or one that is no Monday.
    """
    how = f"{_HOW.format(what='a Monday as 2026-08-31')}."
    if partition_key is None:
        raise ValueError(f"This run has no partition key, so nobody can tell which week it is for. {how}")
    monday = _date(partition_key, "week", how)
    if monday.weekday():
        raise ValueError(f"The partition key {partition_key!r} is no week of the archive: it is no Monday. {how}")
    return [monday + timedelta(days=each) for each in range(7)]


def _date(key: str, what: str, how: str) -> date:
    try:
        day = datetime.strptime(key, DAY_FORMAT).date()
    except ValueError:
        day = None
    if day is None or day.isoformat() != key:  # Python also reads 2026-9-1, which would be another folder.
        raise ValueError(f"The partition key {key!r} is no {what} of the archive. {how}")
    return day


def find_day(archive: str, day: date) -> Place:
    """Return the folder of a day.

    Raises:
        FileNotFoundError: there is no archive at all.
        airflow.sdk.exceptions.AirflowNotFoundException: its Connection does not exist.
    """
    from airflow.sdk import BaseHook, ObjectStoragePath

    root = ObjectStoragePath(archive)
    if root.conn_id:
        BaseHook.get_connection(root.conn_id)  # Some storages go on with the machine's own credentials without it.
    folder = f"{archive.rstrip('/')}/{day}"
    if not _has_something(root):
        raise FileNotFoundError(
            f"There is no archive at {archive}, or nothing in it: no folder named as {day}. The Variable {VARIABLE} "
            f"says where it is, as {_EXAMPLE}."
        )
    empty = None if _has_something(root / str(day)) else f"There is no folder {folder}, or nothing in it."
    return Place(folder, empty)


def _has_something(folder: ObjectStoragePath) -> bool:
    """Say whether it is a folder with something in it. Object storage has no others."""
    return folder.is_dir() and any(True for _ in folder.iterdir())
