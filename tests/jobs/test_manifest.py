"""A manifest says the same as JSON lines and as Parquet, whole or not at all, however many rows it has."""

from __future__ import annotations

import json
import re
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_asr._airflow import open_path
from airflow_asr.api.errors import OutputError
from airflow_asr.jobs.manifest import ManifestRow, read_rows, write_manifest
from tests.object_storage import BUCKET, ObjectStorage


def row(name: str = "a.wav", **fields: Any) -> ManifestRow:
    known: dict[str, Any] = dict.fromkeys(ManifestRow.__annotations__)
    known |= {
        "key": name,
        "uri": f"s3://recordings/{name}",
        "fingerprint": "f" * 64,
        "status": "completed",
        "new": True,
    }
    known |= {"transcript_id": "t-1", "seconds": 1.5, "bytes": 7, "language": "en", "confidence": 0.9, "words": 3}
    known |= {"model": "universal", "outputs": {"txt": "/out/a.txt"}, "sizes": {"txt": 5}}
    return ManifestRow(**{**known, **fields})  # type: ignore[typeddict-item]


def write(folder: Path, *parts: list[ManifestRow]) -> tuple[list[ManifestRow], list[dict[str, Any]], Any]:
    """Return the rows as the two files have them, and the totals."""
    uri, parquet, totals = write_manifest(open_path(str(folder)), "manifest", parts)
    assert parquet is not None
    table = pq.read_table(open_path(parquet).path)
    return list(read_rows(open_path(uri))), table.to_pylist(maps_as_pydicts="strict"), totals


numbers = st.none() | st.floats(0, 1e9, allow_nan=False)
whole = st.none() | st.integers(0, 2**53)
texts = st.none() | st.text(max_size=10)
names = st.text("abc/é字👩\n\0", max_size=4)
rows = st.builds(
    row,
    names,
    status=st.sampled_from(["completed", "failed", "left", "planned"]),
    new=st.booleans(),
    **dict.fromkeys(("kind", "error", "transcript_id", "language", "model"), texts),
    **dict.fromkeys(("seconds", "confidence", "cost"), numbers),
    **dict.fromkeys(("bytes", "words"), whole),
    outputs=st.dictionaries(names, names, max_size=2),
    sizes=st.dictionaries(names, st.integers(0, 2**53), max_size=2),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.lists(rows, max_size=5), max_size=3))
def test_both_files_have_the_last_row_of_each_recording_in_order(
    tmp_path: Path, parts: list[list[ManifestRow]]
) -> None:
    lines, table, totals = write(tmp_path, *parts)
    last = {each["uri"]: each for part in parts for each in part}
    expected = sorted(last.values(), key=lambda each: (each["key"].encode(), each["uri"].encode()))
    assert lines == table == expected
    assert totals["files"] == len(expected)
    for status in ("completed", "failed", "left", "planned"):
        assert totals[status] == sum(each["status"] == status for each in expected)
    done = [each for each in expected if each["status"] == "completed"]
    assert totals["new"] == sum(each["new"] for each in done)
    assert totals["seconds"] == pytest.approx(sum(each["seconds"] or 0 for each in done))
    costs = [each["cost"] for each in done if each["cost"] is not None]
    assert totals["cost"] == (pytest.approx(sum(costs)) if costs else None)
    assert sum(totals["failures"].values()) == totals["failed"]


def test_failures_are_counted_by_kind(tmp_path: Path) -> None:
    failed = [
        row(f"{kind}{at}.wav", status="failed", kind=kind) for kind, at in (("input", 0), ("input", 1), ("url", 0))
    ]
    assert write(tmp_path, failed)[2]["failures"] == {"input": 2, "url": 1}


def test_a_manifest_without_rows_has_the_same_typed_columns(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert write(tmp_path / "none")[:2] == ([], [])
    write(tmp_path, [row()])
    empty, full = (pq.read_schema(folder / "manifest.parquet") for folder in (tmp_path / "none", tmp_path))
    assert empty == full
    assert full.names == list(row())
    types = {field.name: re.sub(r" \('\w+'\)", "", str(field.type)) for field in full}
    assert (types["outputs"], types["sizes"], types["new"]) == ("map<string, string>", "map<string, int64>", "bool")
    assert (types["seconds"], types["bytes"], types["error"]) == ("double", "int64", "string")


def test_a_name_that_is_no_text_is_kept_and_tells_two_apart(tmp_path: Path) -> None:
    odd = [row("\udcff.wav"), row("\udcfe.wav"), row("\\udcff.wav", outputs={"txt": "/\udcff"})]
    lines, table, _ = write(tmp_path, odd)
    assert {each["uri"] for each in lines} == {each["uri"] for each in odd}
    assert len(table) == 3


def test_a_column_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text(json.dumps({**row(), "speaker": 7}) + "\n")
    earlier = list(read_rows(open_path(str(tmp_path / "old.jsonl"))))
    assert write(tmp_path, earlier)[1] == [row()]


@pytest.mark.parametrize(
    "damaged",
    [
        *("", "{", "[]", "null", "{}", "\ufffe", "[" * 100_000),
        json.dumps({**row(), "outputs": []}),
        json.dumps({**row(), "sizes": None}),
        json.dumps({**row(), "new": 1}),
        json.dumps({**row(), "seconds": "1"}),
        json.dumps({**row(), "bytes": 1.5}),
        json.dumps({**row(), "key": None}),
        json.dumps({**row(), "sizes": {"txt": "5"}}),
        json.dumps({**row(), "outputs": {"txt": 5}}),
        json.dumps({**row(), "seconds": float("nan")}),
        json.dumps(row())[:-9],
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{json.dumps(row())}\n{damaged}\n")
    found = read_rows(open_path(str(path)))
    assert next(found) == row()
    with pytest.raises(OutputError, match=r"manifest\.jsonl, line 2, is no row"):
        next(found)


def test_a_manifest_that_is_not_there_is_told_from_one_that_is_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(read_rows(open_path(str(tmp_path / "manifest.jsonl"))))
    (tmp_path / "manifest.jsonl").touch()
    assert list(read_rows(open_path(str(tmp_path / "manifest.jsonl")))) == []


def test_without_pyarrow_there_are_json_lines_and_a_word_on_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with caplog.at_level("INFO"):
        uri, parquet, _ = write_manifest(open_path(str(tmp_path)), "manifest", [[row()]])
    assert parquet is None
    assert [each.name for each in tmp_path.iterdir()] == ["manifest.jsonl"]
    assert list(read_rows(open_path(uri))) == [row()]
    assert "pip install 'airflow-asr[parquet]'" in caplog.text


def test_a_part_that_is_damaged_leaves_the_old_manifest_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, [row()])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f"{json.dumps(row('b.wav'))}\n{{\n")
    with pytest.raises(OutputError, match="line 2"):
        write_manifest(open_path(str(tmp_path)), "manifest", [read_rows(open_path(str(bad)))])
    bad.unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_takes_nothing_is_named() -> None:
    with pytest.raises(OutputError, match="could not be written"):
        write_manifest(open_path("/dev/null/out"), "manifest", [[row()]])


def test_a_manifest_in_object_storage(storage: ObjectStorage) -> None:
    folder = open_path(f"s3://calls@{BUCKET}/text")
    for name in ("a.wav", "b.wav"):  # The second time it takes the place of the first.
        uri, parquet, _ = write_manifest(folder, "manifest", [[row(name)]])
        assert (uri, parquet) == (
            f"s3://calls@{BUCKET}/text/manifest.jsonl",
            f"s3://calls@{BUCKET}/text/manifest.parquet",
        )
        assert list(read_rows(open_path(uri))) == [row(name)]
        with open_path(str(parquet)).open("rb") as file:
            assert pq.read_table(file).to_pylist(maps_as_pydicts="strict") == [row(name)]
    with pytest.raises(FileNotFoundError):
        next(read_rows(folder / "other.jsonl"))
    with pytest.raises(OutputError, match="could not be written"):
        write_manifest(open_path("s3://calls@no-such-bucket/text"), "manifest", [[row()]])


def test_three_times_the_rows_take_the_same_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_asr.jobs.manifest._ROWS", 500)

    def some(count: int) -> Iterator[ManifestRow]:
        return (row(f"{number:07}.wav") for number in range(count))

    write_manifest(open_path(str(tmp_path)), "manifest", [some(1)])  # What is imported now is not counted below.
    peaks = []
    for count in (1_500, 4_500):
        tracemalloc.start()
        write_manifest(open_path(str(tmp_path)), "manifest", [some(count)])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2
    groups = pq.ParquetFile(tmp_path / "manifest.parquet").metadata.num_row_groups
    assert groups == 9
