"""What survives a restart: transcripts, their results and uploads, in one SQLite file.

A row is committed before the reply that promises it. The write-ahead log makes that hold against a killed process;
against a power cut the last second may be lost, which is enough for a tool on a developer's machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_asr.local import deliveries
from airflow_asr.local.clock import Clock
from airflow_asr.local.database import Database

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

# An upload expires unless it is transcribed, which sets this to null.
_EXPIRY_SCHEMA = """
ALTER TABLE uploads ADD COLUMN expires TEXT;
CREATE INDEX uploads_by_expiry ON uploads (expires) WHERE expires IS NOT NULL;
"""

# In the order in which they came; new ones go to the end.
_SCHEMAS = (_SCHEMA, _EXPIRY_SCHEMA + deliveries.SCHEMA)

_CODE = f"(SELECT code FROM deliveries WHERE transcript_id = transcripts.id AND kind = '{deliveries.TRANSCRIPT_READY}')"  # noqa: S608
_COLUMNS = f"seq, id, status, created, completed, audio_url, error, deleted, request, {_CODE}"
_SELECT = f"SELECT {_COLUMNS} FROM transcripts"  # noqa: S608  nothing in it comes from outside
_SELECT_ONE = f"{_SELECT} WHERE id = ?"


@dataclass(frozen=True)
class Row:
    """One transcript without its result.

    ``seq`` counts in the order of creation. ``webhook_status_code`` is what the webhook's receiver answered last.
    """

    seq: int
    id: str
    status: str
    created: str
    completed: str | None
    audio_url: str
    error: str | None
    deleted: bool
    request: str
    webhook_status_code: int | None = None


@dataclass(frozen=True)
class Filter:
    """Which transcripts a list is about. ``created_on`` is a day in UTC, as ``2026-11-23``, ``since`` a time."""

    status: str | None = None
    created_on: str | None = None
    since: str | None = None

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
        if self.since is not None:
            conditions.append("created >= ?")
            values.append(self.since)
        return conditions, values


class Store:
    """The database. Safe to use from several threads.

    Args:
        path: its file; made if it is not there.
        clock: whose time is written down.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.database = Database(path, _SCHEMAS)
        self._clock = clock or Clock()

    def close(self) -> None:
        """Close the database. A thread that works on still can."""
        self.database.close()

    def insert(self, transcript_id: str, status: str, audio_url: str, request: str) -> Row:
        """Add a transcript and return it as stored."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO transcripts (id, status, created, audio_url, request) VALUES (?, ?, ?, ?, ?)",
                (transcript_id, status, self._clock.stamp(), audio_url, request),
            )
            # Its audio, if it was uploaded, now lives as long as the transcript.
            upload_id = urlsplit(audio_url).path.rpartition("/")[2]
            connection.execute("UPDATE uploads SET expires = NULL WHERE id = ?", (upload_id,))
            return _rows(connection.execute(_SELECT_ONE, (transcript_id,)))[0]

    def get(self, transcript_id: str) -> Row | None:
        """One transcript, or None."""
        with self.database.connection() as connection:
            rows = _rows(connection.execute(_SELECT_ONE, (transcript_id,)))
            return rows[0] if rows else None

    def result(self, transcript_id: str) -> str | None:
        """The JSON that :meth:`complete` stored."""
        with self.database.connection() as connection:
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
        with self.database.connection() as connection:
            return _rows(connection.execute(sql, (*values, limit)))

    def unfinished(self) -> list[Row]:
        """What was waiting or running when the server stopped, in the order of creation."""
        with self.database.connection() as connection:
            return _rows(connection.execute(f"{_SELECT} WHERE status IN (?, ?) ORDER BY seq", (QUEUED, PROCESSING)))

    def move(self, transcript_id: str, before: str, after: str) -> bool:
        """Change the status if it still is ``before``; False if it is not, because someone deleted the transcript."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE transcripts SET status = ? WHERE id = ? AND status = ?", (after, transcript_id, before)
            )
            return changed.rowcount == 1

    def complete(self, transcript_id: str, result: str, webhook: str | None = None) -> bool:
        """Store the result, and owe the webhook with this body, if any.

        Returns:
            False, and nothing is stored, if the transcript is no longer in ``processing``.
        """
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE transcripts SET status = ?, completed = ? WHERE id = ? AND status = ?",
                (COMPLETED, self._clock.stamp(), transcript_id, PROCESSING),
            )
            if changed.rowcount == 1:
                connection.execute("INSERT INTO results (id, body) VALUES (?, ?)", (transcript_id, result))
                self._owe(connection, transcript_id, webhook)
            return changed.rowcount == 1

    def fail(self, transcript_id: str, error: str, webhook: str | None = None) -> bool:
        """End with an error, and owe the webhook with this body; False as for :meth:`complete`."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE transcripts SET status = ?, error = ? WHERE id = ? AND status = ?",
                (ERROR, error, transcript_id, PROCESSING),
            )
            if changed.rowcount == 1:
                self._owe(connection, transcript_id, webhook)
            return changed.rowcount == 1

    def _owe(self, connection: sqlite3.Connection, transcript_id: str, webhook: str | None) -> None:
        # With the end of the transcript in one transaction: whoever sees that it ended will hear of it.
        if webhook is not None:
            deliveries.add(connection, transcript_id, deliveries.TRANSCRIPT_READY, webhook, self._clock.stamp())

    def delete(self, transcript_id: str) -> None:
        """Blank a transcript. Its row stays, and so does an ``error``; anything else counts as completed."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE transcripts SET deleted = 1, audio_url = ?, completed = COALESCE(completed, ?), status = ? "
                "WHERE id = ? AND status != ?",
                (DELETED_AUDIO_URL, self._clock.stamp(), COMPLETED, transcript_id, ERROR),
            )
            connection.execute(
                "UPDATE transcripts SET deleted = 1, audio_url = ? WHERE id = ?", (DELETED_AUDIO_URL, transcript_id)
            )
            connection.execute("DELETE FROM results WHERE id = ?", (transcript_id,))

    def ended_before(self, created: str) -> list[Row]:
        """Transcripts that have ended, still have content, and were created before a time."""
        sql = f"{_SELECT} WHERE created < ? AND deleted = 0 AND status IN (?, ?)"
        with self.database.connection() as connection:
            return _rows(connection.execute(sql, (created, COMPLETED, ERROR)))

    def add_upload(self, upload_id: str, *, broken: bool, expires: str) -> None:
        """Remember an upload; ``broken`` ones were sent in a way that the service cannot read."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO uploads (id, broken, expires) VALUES (?, ?, ?)", (upload_id, int(broken), expires)
            )

    def expired_uploads(self) -> list[str]:
        """The ids of uploads that nobody transcribed in time."""
        with self.database.connection() as connection:
            found = connection.execute("SELECT id FROM uploads WHERE expires <= ?", (self._clock.stamp(),))
            return [upload_id for (upload_id,) in found]

    def forget_expiry(self, upload_id: str) -> None:
        """Take an upload off :meth:`expired_uploads`."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE uploads SET expires = NULL WHERE id = ?", (upload_id,))

    def upload_is_broken(self, upload_id: str) -> bool | None:
        """Whether an upload is broken; None if there never was one of this id."""
        with self.database.connection() as connection:
            found = connection.execute("SELECT broken FROM uploads WHERE id = ?", (upload_id,)).fetchone()
            return None if found is None else bool(found[0])


def _rows(cursor: sqlite3.Cursor) -> list[Row]:
    return [_as_row(values) for values in cursor.fetchall()]


def _as_row(values: Sequence[Any]) -> Row:
    seq, transcript_id, status, created, completed, audio_url, error, deleted, request, code = values
    return Row(seq, transcript_id, status, created, completed, audio_url, error, bool(deleted), request, code)
