"""The SQL tables that the DAG ``transcribe_calls`` fills: made when they are missing, in SQLite and PostgreSQL alike.

Each row class below is a table: its fields are the columns, in order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


class CallRow(NamedTuple):
    """A recording. What is unknown, because it failed or nobody speaks, is ``None``.

    ``talk_s`` is the time in which anybody speaks, ``silence_s`` the rest, ``overlap_s`` the time in which two or more
    speak at once. ``sentiment`` is from -1 to 1.
    """

    call_id: str
    file: str
    audio: str
    transcript_id: str | None
    status: str
    error: str | None
    duration_s: float | None
    talk_s: float | None
    silence_s: float | None
    overlap_s: float | None
    turns: int | None
    words: int | None
    confidence: float | None
    sentiment: float | None
    language_code: str | None


class SpeakerRow(NamedTuple):
    """One speaker of a call. ``share`` is theirs of all that is spoken, from 0 to 1."""

    call_id: str
    speaker: str
    talk_s: float
    share: float
    turns: int
    words: int
    sentiment: float | None


class TurnRow(NamedTuple):
    """What one speaker says until another one does."""

    call_id: str
    turn: int
    speaker: str
    start_ms: int
    end_ms: int
    words: int
    confidence: float | None
    sentiment: float | None
    text: str


class PhraseRow(NamedTuple):
    """A phrase that tells what a call is about; ``score`` is from 0 to 1, and higher where it tells more."""

    call_id: str
    phrase: str
    score: float
    mentions: int


class DoubtfulRow(NamedTuple):
    """A passage that was heard with a low confidence. Passage 1 is the most doubtful of its call."""

    call_id: str
    passage: int
    speaker: str
    start_ms: int
    end_ms: int
    confidence: float
    text: str


@dataclass(frozen=True)
class CallRows:
    """All rows of one call."""

    call: CallRow
    speakers: Sequence[SpeakerRow] = field(default=())
    turns: Sequence[TurnRow] = field(default=())
    phrases: Sequence[PhraseRow] = field(default=())
    doubtful: Sequence[DoubtfulRow] = field(default=())


SQLITE_FILE = "calls.sqlite"

COLUMNS: dict[str, tuple[str, ...]] = {
    "calls": CallRow._fields,
    "speakers": SpeakerRow._fields,
    "turns": TurnRow._fields,
    "phrases": PhraseRow._fields,
    "doubtful": DoubtfulRow._fields,
}
"""Each table and its columns, in order."""

KEYS: dict[str, tuple[str, ...]] = {
    "calls": ("call_id",),
    "speakers": ("call_id", "speaker"),
    "turns": ("call_id", "turn"),
    "phrases": ("call_id", "phrase"),
    "doubtful": ("call_id", "passage"),
}

# In PostgreSQL a REAL has six digits; this is the same double in both.
_NUMBER = "DOUBLE PRECISION"
_TYPES = {
    **dict.fromkeys(("turns", "turn", "words", "start_ms", "end_ms", "mentions", "passage"), "INTEGER"),
    **dict.fromkeys(("duration_s", "talk_s", "silence_s", "overlap_s", "share", "score"), _NUMBER),
    **dict.fromkeys(("confidence", "sentiment"), _NUMBER),
}
_LOCKED_S = 60.0  # How long to wait for somebody else who writes.
_IDS_AT_ONCE = 500  # Databases limit the parameters of a statement.


def sql_hook(conn_id: str | None, output_path: str) -> DbApiHook:
    """Return what reads and writes the tables, and make those that are missing.

    Args:
        conn_id: an SQL Connection; without one the tables are in an SQLite file.
        output_path: the local folder of that file.

    Raises:
        ValueError: the Connection is not one of SQL; or there is none, and the folder is not a local one.
        airflow.sdk.exceptions.AirflowNotFoundException: there is no such Connection.
    """
    hook = _connection_hook(conn_id) if conn_id else _file_hook(output_path)
    hook.log_sql = False  # Statements with hundreds of ids say little.
    hook.run([_create(table) for table in COLUMNS])
    return hook


def _connection_hook(conn_id: str) -> DbApiHook:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook

    hook = BaseHook.get_hook(conn_id)
    if not isinstance(hook, DbApiHook):
        raise ValueError(f"The Connection {conn_id!r} is not one to an SQL database: it has a {type(hook).__name__}.")
    return hook


def _file_hook(folder: str) -> DbApiHook:
    """Return a hook for an SQLite file, without a Connection that somebody would have to make."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook
    from airflow.sdk import Connection, ObjectStoragePath

    path = ObjectStoragePath(folder)
    if path.protocol not in ("", "file"):
        raise ValueError(f"There can be no SQLite file in {folder}. Name an SQL Connection for the tables.")
    file = str(Path(path.path) / SQLITE_FILE)
    Path(file).parent.mkdir(parents=True, exist_ok=True)

    class FileHook(SqliteHook):
        def get_conn(self) -> sqlite3.Connection:
            # Not by a URI: a path may hold what means something there.
            return sqlite3.connect(file, timeout=_LOCKED_S)

        @classmethod
        def get_connection(cls, conn_id: str) -> Connection:
            return Connection(conn_id=conn_id, conn_type="sqlite", host=file)

    return FileHook()  # type: ignore[no-untyped-call]


def write_calls(hook: DbApiHook, calls: Sequence[CallRows]) -> None:
    """Write the rows of calls, in the place of all that is there of them.

    Doing it again changes nothing. A task that ends in the middle leaves some calls without their details, and its
    retry brings them back.
    """
    ids = [each.call.call_id for each in calls]
    details: dict[str, list[tuple[Any, ...]]] = {
        "speakers": [row for each in calls for row in each.speakers],
        "turns": [row for each in calls for row in each.turns],
        "phrases": [row for each in calls for row in each.phrases],
        "doubtful": [row for each in calls for row in each.doubtful],
    }
    for table, rows in details.items():
        for some in _parts(ids):
            hook.run(f"DELETE FROM {table} WHERE call_id IN ({_marks(hook, some)})", parameters=some)  # noqa: S608
        _insert(hook, table, rows)
    _insert(hook, "calls", [each.call for each in calls])


def read_tables(hook: DbApiHook, call_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of some calls: for each table a list, in the order of its key, of columns and values."""
    return {table: list(_read(hook, table, call_ids)) for table in COLUMNS}


def _read(hook: DbApiHook, table: str, call_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for some in _parts(sorted(call_ids)):
        query = (
            f"SELECT {', '.join(COLUMNS[table])} FROM {table} WHERE call_id IN ({_marks(hook, some)}) "  # noqa: S608
            f"ORDER BY {', '.join(KEYS[table])}"
        )
        for row in hook.get_records(query, parameters=some):
            yield dict(zip(COLUMNS[table], row, strict=True))


def _create(table: str) -> str:
    columns = ", ".join(f"{column} {_TYPES.get(column, 'TEXT')}" for column in COLUMNS[table])
    return f"CREATE TABLE IF NOT EXISTS {table} ({columns}, PRIMARY KEY ({', '.join(KEYS[table])}))"


def _insert(hook: DbApiHook, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    storable = ([_storable(value) for value in row] for row in rows)
    hook.insert_rows(table, storable, COLUMNS[table], replace=True, replace_index=list(KEYS[table]))


def _storable(value: Any) -> Any:
    """Return a value as databases take it: a file name may hold half a character, and a text a NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "") if isinstance(value, str) else value


def _marks(hook: DbApiHook, values: Sequence[str]) -> str:
    return ", ".join([hook.placeholder] * len(values))


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE))
