"""What an output folder holds already, in a database on this machine's disk: any number takes the same memory.

The folder is listed once, a thousand names a request. What is in the files is known from the rows of earlier manifests;
only where there is none, from the receipt of each.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from airflow_asr.jobs.files import unreadable
from airflow_asr.jobs.listing import list_files
from airflow_asr.jobs.manifest import ManifestRow, as_bytes
from airflow_asr.jobs.outputs import EXTENSIONS
from airflow_asr.jobs.receipts import OWN_FOLDER, read_receipt

if TYPE_CHECKING:
    from upath import UPath

# Of an input that failed through its own fault, the same would come out again.
_THEIR_OWN_FAULT = ("input", "policy")


class Catalogue:
    """Knows an output folder.

    Args:
        folder: the folder.
        formats: the outputs that are wanted.

    Raises:
        OutputError: it cannot be read, when it is entered.
    """

    def __init__(self, folder: UPath, formats: tuple[str, ...]) -> None:
        self._folder = folder
        self._formats = formats
        self._home = tempfile.TemporaryDirectory(prefix="airflow-asr-")
        self._database = sqlite3.connect(Path(self._home.name) / "catalogue.db", isolation_level=None)

    def __enter__(self) -> Self:
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE files (name BLOB PRIMARY KEY, size INT) WITHOUT ROWID;"
            "CREATE TABLE rows (fp TEXT PRIMARY KEY, status TEXT, kind TEXT, row TEXT) WITHOUT ROWID;"
            "CREATE TABLE lengths (uri BLOB PRIMARY KEY, bytes INT, seconds REAL) WITHOUT ROWID;"
            "BEGIN;"
        )
        try:
            self._list()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()
        self._home.cleanup()

    def learn(self, rows: Iterable[ManifestRow]) -> None:
        """Learn the rows of an earlier manifest, or of a part of one. Of rows of the same input the last counts."""
        for row in rows:
            if row["fingerprint"]:
                known = (row["fingerprint"], row["status"], row["kind"], json.dumps(row))
                self._database.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", known)
            if row["seconds"] is not None and row["status"] == "completed":
                length = (as_bytes(row["uri"]), row["bytes"], row["seconds"])
                self._database.execute("INSERT OR REPLACE INTO lengths VALUES (?, ?, ?)", length)

    def done(self, base: str, fp: str) -> ManifestRow | None:
        """Return the row of an input whose outputs are all there, each in the size that was written.

        Args:
            base: the beginning of the names of its outputs.
            fp: its fingerprint.

        Raises:
            OutputError: its receipt cannot be read.
        """
        row = self._row(fp, "status = 'completed'")
        if row is not None and self._all_there(base, row):
            return row
        row = self._of_receipt(base, fp)  # Later than the row, perhaps: a task for it alone wrote more formats.
        return row if row is not None and self._all_there(base, row) else None

    def hopeless(self, fp: str) -> ManifestRow | None:
        """Return the row of an input that failed before through its own fault."""
        row = self._row(fp, f"status = 'failed' AND kind IN {_THEIR_OWN_FAULT}")
        return None if row is None else {**row, "new": False}

    def seconds(self, uri: str, size: int | None) -> float | None:
        """Return how long a recording is in seconds, if an earlier row tells it and it has the same size since.

        Args:
            uri: where it is.
            size: its size in bytes; None where nobody knows, as of a URL.
        """
        query = "SELECT seconds FROM lengths WHERE uri = ? AND (bytes IS ? OR bytes IS NULL OR ? IS NULL)"
        found = self._database.execute(query, (as_bytes(uri), size, size)).fetchone()
        return None if found is None else float(found[0])

    def _list(self) -> None:
        """List the folder and that of its receipts, and no other: there may be one for each day of years in it."""
        for folder, before in ((self._folder, ""), (self._folder / OWN_FOLDER, f"{OWN_FOLDER}/")):
            start = len(folder.path.rstrip("/")) + 1
            try:
                found = list_files(folder, depth=0)
                files = ((as_bytes(before + listed.path[start:]), listed.info["size"]) for listed in found)
                self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", files)
            except FileNotFoundError:
                continue  # Nothing was written there yet.
            except Exception as error:
                raise unreadable(folder, error) from None

    def _all_there(self, base: str, row: ManifestRow) -> bool:
        return all(
            each in row["outputs"] and self._size(f"{base}.{EXTENSIONS[each]}") == row["sizes"].get(each, -1)
            for each in self._formats
        )

    def _size(self, name: str) -> int | None:
        found = self._database.execute("SELECT size FROM files WHERE name = ?", (as_bytes(name),)).fetchone()
        return None if found is None else int(found[0])

    def _row(self, fp: str, condition: str) -> ManifestRow | None:
        query = f"SELECT row FROM rows WHERE fp = ? AND {condition}"  # noqa: S608  The conditions are ours.
        found = self._database.execute(query, (fp,)).fetchone()
        return None if found is None else json.loads(found[0])

    def _of_receipt(self, base: str, fp: str) -> ManifestRow | None:
        """Return the row of an input that only its receipt tells of: a task for it alone wrote it, or a batch died."""
        name = f"{OWN_FOLDER}/{base}.json"
        receipt = read_receipt(self._folder / name) if self._size(name) is not None else None
        if receipt is None or receipt["fingerprint"] != fp:
            return None
        summary = receipt["summary"]
        return ManifestRow(
            key=summary["audio"] or base,
            uri=summary["audio"] or base,
            fingerprint=fp,
            status="completed",
            new=False,
            kind=None,
            error=None,
            transcript_id=summary["transcript_id"],
            seconds=summary["audio_duration_s"],
            bytes=None,
            language=summary["language_code"],
            confidence=summary["confidence"],
            model=summary["speech_model_used"],
            words=summary["word_count"],
            outputs={each: str(self._folder / f"{base}.{EXTENSIONS[each]}") for each in receipt["files"]},
            sizes={each: file["size"] for each, file in receipt["files"].items()},
            cost=None,
        )
