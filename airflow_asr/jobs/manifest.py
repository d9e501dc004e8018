"""The manifest of a batch: a row for each recording, as JSON lines and as Parquet."""

from __future__ import annotations

import json
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypedDict, cast

from airflow_asr.api.errors import OutputError
from airflow_asr.api.fields import number
from airflow_asr.jobs.files import put_local_file, unreadable

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

_ROWS = 2000  # Of a group of Parquet rows: what is held in memory.
_INSTALL = "pip install 'airflow-asr[parquet]'"


class ManifestRow(TypedDict):
    """One recording.

    Attributes:
        key: its path below the archive's root; its name where there is no root.
        uri: where it is, without secrets and without a connection id.
        fingerprint: that of service, audio and parameters.
        status: ``completed``, ``failed``, ``left`` (not sent, because of the budget) or ``planned``.
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


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_number(value: object) -> bool:
    return value is None or number(value) is not None


def _is_whole(value: object) -> bool:
    return value is None or (type(value) is int and number(value) is not None)


_FITS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("key", "uri", "fingerprint", "status"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("kind", "error", "transcript_id", "language", "model"), _is_text),
    **dict.fromkeys(("seconds", "confidence", "cost"), _is_number),
    **dict.fromkeys(("bytes", "words"), _is_whole),
    **dict.fromkeys(("outputs", "sizes"), lambda value: isinstance(value, dict)),
    "new": lambda value: isinstance(value, bool),
}


class Totals(TypedDict):
    """What a manifest adds up to.

    Attributes:
        files: rows.
        completed: those with a transcript.
        new: of them, those by this run.
        failed: those without one.
        left: those that were not sent.
        planned: those that would be sent.
        seconds: of audio in the completed.
        cost: of the completed; None if no row has one.
        failures: kind of failure to how many.
    """

    files: int
    completed: int
    new: int
    failed: int
    left: int
    planned: int
    seconds: float
    cost: float | None
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
        line = 0
        while raw := _line(path, file):
            line += 1
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError):
                row = None
            if not _is_row(row):
                raise OutputError(f"{path}, line {line}, is no row of a manifest. Restore the file, or remove it.")
            yield cast(ManifestRow, row)


def _line(path: UPath, file: IO[bytes]) -> bytes:
    try:
        return file.readline()
    except Exception as error:
        raise unreadable(path, error) from None


def _is_row(row: Any) -> bool:
    """Say whether it has all columns, each of its type. There may be more: a later version's."""
    return (
        isinstance(row, dict)
        and all(name in row and fits(row[name]) for name, fits in _FITS.items())
        and all(isinstance(uri, str) for uri in row["outputs"].values())
        and all(type(size) is int and number(size) is not None for size in row["sizes"].values())
    )


def write_manifest(folder: UPath, name: str, parts: Iterable[Iterable[ManifestRow]]) -> tuple[str, str | None, Totals]:
    """Write a manifest and return its URI, that of its Parquet form (None without pyarrow), and what it adds up to.

    Of rows with the same URI the last counts. Any number of rows takes the same memory.

    Raises:
        OutputError: it could not be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="airflow-asr-") as home:
            return _write(Path(home), folder, name, parts)
    except (sqlite3.Error, OSError) as error:
        raise OutputError(
            f"The manifest of {folder} could not be made on this worker's disk ({type(error).__name__}: {error}). Is "
            "there room in its folder for temporary files?"
        ) from None


def _write(
    home: Path, folder: UPath, name: str, parts: Iterable[Iterable[ManifestRow]]
) -> tuple[str, str | None, Totals]:
    lines, parquet = home / "manifest.jsonl", home / "manifest.parquet"
    with closing(sqlite3.connect(home / "rows.db", isolation_level=None)) as database:
        totals = _merge(database, parts)
        with lines.open("w", encoding="ascii") as file:
            for row in _ordered(database):
                file.write(row + "\n")
        columns = _write_parquet(parquet, _ordered(database))
    target = folder / f"{name}.jsonl"
    put_local_file(lines, target)
    if not columns:
        log.info("The manifest is written as JSON lines only; for Parquet as well: %s", _INSTALL)
        return str(target), None, totals
    table = folder / f"{name}.parquet"
    put_local_file(parquet, table)
    return str(target), str(table), totals


def _merge(database: sqlite3.Connection, parts: Iterable[Iterable[ManifestRow]]) -> Totals:
    database.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
        "CREATE TABLE rows (uri BLOB PRIMARY KEY, key BLOB, row TEXT, status TEXT, new INT, kind TEXT, seconds REAL,"
        " cost REAL) WITHOUT ROWID;"
    )
    database.execute("BEGIN")
    for part in parts:
        database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_record, part))
    database.execute("CREATE INDEX by_key ON rows (key)")
    database.execute("COMMIT")
    found = database.execute(
        "SELECT count(*), sum(status = 'completed'), sum(status = 'completed' AND new), sum(status = 'failed'),"
        " sum(status = 'left'), sum(status = 'planned'), sum(CASE status WHEN 'completed' THEN seconds END),"
        " sum(CASE status WHEN 'completed' THEN cost END) FROM rows"
    ).fetchone()
    files, completed, new, failed, left, planned, seconds = (each or 0 for each in found[:-1])
    kinds = database.execute("SELECT kind, count(*) FROM rows WHERE status = 'failed' GROUP BY kind").fetchall()
    return Totals(
        files=files,
        completed=completed,
        new=new,
        failed=failed,
        left=left,
        planned=planned,
        seconds=float(seconds),
        cost=found[-1],
        failures={str(kind): count for kind, count in kinds},
    )


def _record(row: ManifestRow) -> tuple[Any, ...]:
    text = json.dumps(row, separators=(",", ":"))
    name, key = as_bytes(row["uri"]), as_bytes(row["key"])
    return name, key, text, row["status"], row["new"], row["kind"], row["seconds"], row["cost"]


def as_bytes(name: str) -> bytes:
    """Return a name as a database takes it, also if it is no text, as names on Linux may be."""
    return name.encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """Return a value for Parquet, which takes only text: half a character is written as its number."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


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
    cells = {name: _plain(value) for name, value in row.items()}
    maps = {name: [(_plain(each), _plain(value)) for each, value in row[name].items()] for name in ("outputs", "sizes")}
    return {**cells, **maps}
