"""What survives a restart: transcripts, their results and uploads, in one SQLite file.

A row is committed before the reply that promises it. The write-ahead log makes that hold against a killed process;
against a power cut the last second may be lost, which is enough for a tool on a developer's machine.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

QUEUED = "queued"
PROCESSING = "processing"
COMPLETED = "completed"
ERROR = "error"
STATUSES = (QUEUED, PROCESSING, COMPLETED, ERROR)

DELETED_AUDIO_URL = "http://deleted_by_user"

# Results have a table of their own: lists and status checks must not drag megabytes of words past them.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS transcripts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    created TEXT NOT NULL,
    completed TEXT,
    audio_url TEXT NOT NULL,
    error TEXT,
    deleted INTEGER NOT NULL DEFAULT 0,
    request TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS transcripts_by_status ON transcripts (status, seq);
CREATE INDEX IF NOT EXISTS transcripts_by_created ON transcripts (created);
CREATE TABLE IF NOT EXISTS results (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, broken INTEGER NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = "seq, id, status, created, completed, audio_url, error, deleted, request"
_SELECT = f"SELECT {_COLUMNS} FROM transcripts"  # noqa: S608  nothing in it comes from outside
_SELECT_ONE = f"{_SELECT} WHERE id = ?"


@dataclass(frozen=True)
class Row:
    """One transcript without its result. ``seq`` counts in the order of creation."""

    seq: int
    id: str
    status: str
    created: str
    completed: str | None
    audio_url: str
    error: str | None
    deleted: bool
    request: str


@dataclass(frozen=True)
class Filter:
    """Which transcripts a list is about. ``created_on`` is a day in UTC, as ``2026-11-23``."""

    status: str | None = None
    created_on: str | None = None

    def where(self) -> tuple[list[str], list[Any]]:
        """SQL conditions and their values."""
        conditions: list[str] = []
        values: list[Any] = []
        if self.status is not None:
            conditions.append("status = ?")
            values.append(self.status)
        if self.created_on is not None:
            day = datetime.strptime(self.created_on, "%Y-%m-%d").replace(tzinfo=UTC)
            conditions.append("created >= ? AND created < ?")
            values += [self.created_on, (day + timedelta(days=1)).strftime("%Y-%m-%d")]
        return conditions, values


def now() -> str:
    """This moment as the service writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Store:
    """The database. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._writing = threading.Lock()
        with self._connection() as connection:
            connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the connections that nobody is using."""
        while self._idle:
            self._idle.pop().close()

    def insert(self, transcript_id: str, status: str, audio_url: str, request: str) -> Row:
        """Add a transcript and return it as stored."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO transcripts (id, status, created, audio_url, request) VALUES (?, ?, ?, ?, ?)",
                (transcript_id, status, now(), audio_url, request),
            )
            return _rows(connection.execute(_SELECT_ONE, (transcript_id,)))[0]

    def get(self, transcript_id: str) -> Row | None:
        """One transcript, or None."""
        with self._connection() as connection:
            rows = _rows(connection.execute(_SELECT_ONE, (transcript_id,)))
            return rows[0] if rows else None

    def result(self, transcript_id: str) -> str | None:
        """The JSON that :meth:`complete` stored."""
        with self._connection() as connection:
            found = connection.execute("SELECT body FROM results WHERE id = ?", (transcript_id,)).fetchone()
            return None if found is None else found[0]

    def older(self, seq: int | None, limit: int, wanted: Filter) -> list[Row]:
        """At most ``limit`` transcripts created before ``seq`` (None: the newest there are), newest first."""
        return self._select(wanted, None if seq is None else ("seq < ?", seq), "DESC", limit)

    def newer(self, seq: int, limit: int, wanted: Filter) -> list[Row]:
        """The ``limit`` transcripts that followed ``seq``, newest first."""
        return self._select(wanted, ("seq > ?", seq), "ASC", limit)[::-1]

    def _select(self, wanted: Filter, bound: tuple[str, int] | None, order: str, limit: int) -> list[Row]:
        conditions, values = wanted.where()
        if bound is not None:
            conditions.append(bound[0])
            values.append(bound[1])
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"{_SELECT} {where} ORDER BY seq {order} LIMIT ?"
        with self._connection() as connection:
            return _rows(connection.execute(sql, (*values, limit)))

    def unfinished(self) -> list[Row]:
        """What was waiting or running when the server stopped, in the order of creation."""
        with self._connection() as connection:
            return _rows(connection.execute(f"{_SELECT} WHERE status IN (?, ?) ORDER BY seq", (QUEUED, PROCESSING)))

    def move(self, transcript_id: str, before: str, after: str) -> bool:
        """Change the status if it still is ``before``; False if it is not, because someone deleted the transcript."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE transcripts SET status = ? WHERE id = ? AND status = ?", (after, transcript_id, before)
            )
            return changed.rowcount == 1

    def complete(self, transcript_id: str, result: str) -> bool:
        """Store the result; False, and nothing stored, if the transcript is no longer in ``processing``."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE transcripts SET status = ?, completed = ? WHERE id = ? AND status = ?",
                (COMPLETED, now(), transcript_id, PROCESSING),
            )
            if changed.rowcount == 1:
                connection.execute("INSERT INTO results (id, body) VALUES (?, ?)", (transcript_id, result))
            return changed.rowcount == 1

    def fail(self, transcript_id: str, error: str) -> bool:
        """End with an error; False if the transcript is no longer in ``processing``."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE transcripts SET status = ?, error = ? WHERE id = ? AND status = ?",
                (ERROR, error, transcript_id, PROCESSING),
            )
            return changed.rowcount == 1

    def delete(self, transcript_id: str) -> None:
        """Blank a transcript. Its row stays, and so does an ``error``; anything else counts as completed."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE transcripts SET deleted = 1, audio_url = ?, completed = COALESCE(completed, ?), status = ? "
                "WHERE id = ? AND status != ?",
                (DELETED_AUDIO_URL, now(), COMPLETED, transcript_id, ERROR),
            )
            connection.execute(
                "UPDATE transcripts SET deleted = 1, audio_url = ? WHERE id = ?", (DELETED_AUDIO_URL, transcript_id)
            )
            connection.execute("DELETE FROM results WHERE id = ?", (transcript_id,))

    def add_upload(self, upload_id: str, *, broken: bool) -> None:
        """Remember an upload; ``broken`` ones were sent in a way that the service cannot read."""
        with self._transaction() as connection:
            connection.execute("INSERT INTO uploads (id, broken) VALUES (?, ?)", (upload_id, int(broken)))

    def upload_is_broken(self, upload_id: str) -> bool | None:
        """Whether an upload is broken; None if there never was one of this id."""
        with self._connection() as connection:
            found = connection.execute("SELECT broken FROM uploads WHERE id = ?", (upload_id,)).fetchone()
            return None if found is None else bool(found[0])

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # A pool rather than one per thread: the web server's threads come and go.
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # SQLite has one writer at a time; waiting here is fairer than its busy loop.
        with self._writing, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _rows(cursor: sqlite3.Cursor) -> list[Row]:
    return [_as_row(values) for values in cursor.fetchall()]


def _as_row(values: Sequence[Any]) -> Row:
    seq, transcript_id, status, created, completed, audio_url, error, deleted, request = values
    return Row(seq, transcript_id, status, created, completed, audio_url, error, bool(deleted), request)
