"""The manifest of a batch: a row for each recording, as JSON lines and as Parquet."""

from __future__ import annotations

import json
import logging
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from airflow_asr.api.errors import OutputError
from airflow_asr.jobs.files import put_local_file, unreadable

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

_ROWS = 1000
_INSTALL = "pip install 'airflow-asr[parquet]'"


class ManifestRow(TypedDict):
    """One recording.

    Attributes:
        key: its path below the archive's root; its name where there is no root.
        uri: where it is, without secrets and without a connection id.
        fingerprint: that of service, audio and parameters.
        status: ``completed``, ``failed``, or ``left``: not sent, because of the budget.
        new: whether this run did it.
        kind: whose fault a failure is: ``input``, ``service``, ``url`` and so on.
        error: the failure in words.
        transcript_id: the transcript.
        seconds: length of the audio.
        bytes: size of the audio.
        language: the language that was asked for or found.
        confidence: mean confidence, from 0 to 1.
        model: the model that ran.
        words: how many there are.
        outputs: format to URI.
        sizes: format to size in bytes.
        cost: in the unit of the prices; None without prices.
    """

    key: str
    uri: str
    fingerprint: str
    status: str
    new: bool
    kind: str | None
    error: str | None
    transcript_id: str | None
    seconds: float | None
    bytes: int | None
    language: str | None
    confidence: float | None
    model: str | None
    words: int | None
    outputs: dict[str, str]
    sizes: dict[str, int]
    cost: float | None


class Totals(TypedDict):
    """What a manifest adds up to. ``failures`` counts the failed by kind."""

    files: int
    completed: int
    new: int
    failed: int
    left: int
    seconds: float
    failures: dict[str, int]


def read_rows(path: UPath) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest, or of a part of one.

    Raises:
        FileNotFoundError: there is none.
        OutputError: it cannot be read, or a line is no row.
    """
    try:
        file = path.fs.open(path.path, "rb")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise unreadable(path, error) from None
    with file:
        for line, raw in enumerate(file, 1):
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict) or not row.keys() >= ManifestRow.__required_keys__:
                raise OutputError(f"{path}, line {line}, is no row of a manifest. Restore the file, or remove it.")
            yield cast(ManifestRow, row)


def write_manifest(folder: UPath, name: str, parts: Iterable[Iterable[ManifestRow]]) -> tuple[str, str | None, Totals]:
    """Write a manifest and return its URI, that of its Parquet form (None without pyarrow), and what it adds up to.

    Of rows with the same URI the last counts. Any number of rows takes the same memory.

    Raises:
        OutputError: it could not be written.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-asr-") as home:
        with closing(sqlite3.connect(Path(home) / "rows.db", isolation_level=None)) as database:
            totals = _merge(database, parts)
            lines, target = Path(home) / "manifest.jsonl", folder / f"{name}.jsonl"
            with lines.open("w", encoding="utf-8", errors="surrogatepass") as file:
                for row in _ordered(database):
                    file.write(row + "\n")
            parquet = Path(home) / "manifest.parquet"
            columns = _write_parquet(parquet, _ordered(database))
        put_local_file(lines, target)
        if not columns:
            log.info("The manifest is written as JSON lines only; for Parquet as well: %s", _INSTALL)
            return str(target), None, totals
        put_local_file(parquet, folder / f"{name}.parquet")
    return str(target), str(folder / f"{name}.parquet"), totals


def _merge(database: sqlite3.Connection, parts: Iterable[Iterable[ManifestRow]]) -> Totals:
    database.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
        "CREATE TABLE rows (uri TEXT PRIMARY KEY, key TEXT, row TEXT, status TEXT, new INT, kind TEXT, seconds REAL)"
        " WITHOUT ROWID;"
    )
    database.execute("BEGIN")
    for part in parts:
        database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", map(_record, part))
    database.execute("CREATE INDEX by_key ON rows (key)")
    database.execute("COMMIT")
    found = database.execute(
        "SELECT count(*), sum(status = 'completed'), sum(status = 'completed' AND new), sum(status = 'failed'),"
        " sum(status = 'left'), sum(CASE status WHEN 'completed' THEN seconds END) FROM rows"
    ).fetchone()
    files, completed, new, failed, left, seconds = (each or 0 for each in found)
    kinds = database.execute("SELECT kind, count(*) FROM rows WHERE status = 'failed' GROUP BY kind").fetchall()
    return Totals(
        files=files,
        completed=completed,
        new=new,
        failed=failed,
        left=left,
        seconds=float(seconds),
        failures={str(kind): count for kind, count in kinds},
    )


def _record(row: ManifestRow) -> tuple[Any, ...]:
    text = json.dumps(row, separators=(",", ":"))
    return _plain(row["uri"]), _plain(row["key"]), text, row["status"], row["new"], row["kind"], row["seconds"]


def _plain(name: str) -> str:
    """Return a name as a database takes it. A name that is no text keeps what tells it from others."""
    return name.encode("utf-8", "backslashreplace").decode()


def _ordered(database: sqlite3.Connection) -> Iterator[str]:
    for (row,) in database.execute("SELECT row FROM rows ORDER BY key, uri"):
        yield row


def _write_parquet(path: Path, rows: Iterable[str]) -> bool:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        return False
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    types = {
        "new": pa.bool_(),
        "seconds": number,
        "bytes": whole,
        "confidence": number,
        "words": whole,
        "outputs": pa.map_(text, text),
        "sizes": pa.map_(text, whole),
        "cost": number,
    }
    schema = pa.schema([(name, types.get(name, text)) for name in ManifestRow.__annotations__])
    left = iter(rows)
    with ParquetWriter(path, schema) as writer:
        while some := [_cells(json.loads(row)) for row in islice(left, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(some, schema=schema))
    return True


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    cells = {name: _plain(value) if isinstance(value, str) else value for name, value in row.items()}
    return {**cells, "outputs": list(row["outputs"].items()), "sizes": list(row["sizes"].items())}
