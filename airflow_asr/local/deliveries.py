"""Webhooks that wait for their receiver. They are in the database, so that a killed server still owes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_asr.local.database import Database

# The two kinds of webhooks that a transcript has, each once.
TRANSCRIPT_READY = "transcript"
REDACTED_AUDIO_READY = "redacted_audio"

SCHEMA = """
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    transcript_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due TEXT,
    code INTEGER,
    UNIQUE (transcript_id, kind)
);
CREATE INDEX deliveries_by_due ON deliveries (due) WHERE due IS NOT NULL;
"""

_INSERT = "INSERT OR IGNORE INTO deliveries (transcript_id, kind, body, due) VALUES (?, ?, ?, ?)"
_COLUMNS = "seq, transcript_id, body, attempts, due"


@dataclass(frozen=True)
class Delivery:
    """One that is not over.

    Attributes:
        seq: its number.
        transcript_id: whose webhook it is.
        body: JSON to send.
        attempts: how many were made.
        due: when the next one is to be made.
    """

    seq: int
    transcript_id: str
    body: str
    attempts: int
    due: str


def add(connection: sqlite3.Connection, transcript_id: str, kind: str, body: str, due: str) -> None:
    """Owe a webhook from ``due`` on; nothing happens if it is, or was, owed already."""
    connection.execute(_INSERT, (transcript_id, kind, body, due))


class Deliveries:
    """All that are owed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, transcript_id: str, kind: str, body: str, due: str) -> None:
        """See the function of this name."""
        with self._database.transaction() as connection:
            add(connection, transcript_id, kind, body, due)

    def first(self, besides: Iterable[int]) -> Delivery | None:
        """The one that is due first, without those whose numbers are given."""
        excluded = sorted(besides)
        places = ", ".join("?" * len(excluded))
        sql = f"SELECT {_COLUMNS} FROM deliveries WHERE due IS NOT NULL AND seq NOT IN ({places}) ORDER BY due LIMIT 1"  # noqa: S608
        with self._database.connection() as connection:
            found = connection.execute(sql, excluded).fetchone()
        return None if found is None else Delivery(*found)

    def attempted(self, delivery: Delivery, code: int | None, due: str | None) -> None:
        """Record an attempt.

        Args:
            delivery: what was tried.
            code: the status that the receiver answered; None if it did not.
            due: when to try again; None if it is over.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, code = COALESCE(?, code), due = ? WHERE seq = ?",
                (code, due, delivery.seq),
            )
