"""Which recordings a folder, a pattern, a list or a manifest names, on disk and in storage that speaks S3."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from airflow_asr._airflow import open_path
from airflow_asr.api.errors import InputError, RequestError, ServiceError
from airflow_asr.jobs.archive import Archive, ArchiveItem
from airflow_asr.jobs.listing import list_files
from airflow_asr.jobs.source import UrlAudio, find_audio
from airflow_asr.jobs.storage import with_connection_of
from tests.object_storage import BUCKET, ObjectStorage


def archive(named: object, **arguments: Any) -> Archive:
    return Archive(named, open_path=open_path, **arguments)


def keys(named: object, **arguments: Any) -> list[str]:
    return [item.key for item in archive(named, **arguments).items()]


def identity(item: ArchiveItem) -> dict[str, Any]:
    assert item.source is not None, item.problem
    return item.source.identity


def again(named: object, item: ArchiveItem) -> ArchiveItem:
    """Return what an item's entry makes, after it was stored as JSON."""
    return archive(named).reopen([json.loads(json.dumps(item.entry()))])[0]


Put = Callable[..., str]


def empty(storage: ObjectStorage) -> None:
    for key in storage.keys(""):
        storage.client.delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture(params=["disk", "s3"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Put]:
    """Write files, and return the folder's name. There are no others in it."""
    if request.param == "disk":

        def on_disk(*names: str, data: bytes = b"sound") -> str:
            for name in names:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_bytes(data)
            return str(tmp_path)

        yield on_disk
        return
    storage: ObjectStorage = request.getfixturevalue("storage")

    def in_s3(*names: str, data: bytes = b"sound") -> str:
        for name in names:
            storage.put(f"calls/{name}", data)
        return f"s3://calls@{BUCKET}/calls"

    yield in_s3
    empty(storage)


# Folders and patterns ------------------------------------------------------------------------------------------------


def test_a_folder_is_all_audio_in_it_and_below_in_order(put: Put, caplog: pytest.LogCaptureFixture) -> None:
    folder = put("b.wav", "a.MP3", "x/y/c.flac", "notes.txt", ".hidden.wav", ".git/a.wav", "_asr/a.wav", "x/_asr/a.wav")
    with caplog.at_level(logging.INFO):
        assert keys(folder) == keys(folder + "/") == ["a.MP3", "b.wav", "x/y/c.flac"]
    assert "1 other files are not named as audio" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.wav", ["a.wav", "b.wav"]),
        ("**/*.wav", ["a.wav", "b.wav", "x/a.wav", "x/y/a.wav"]),
        ("x/*", ["a.wav"]),
        ("x*/?.wav", ["x/a.wav"]),
        ("[!a].wav", ["b.wav"]),
        ("*", ["a.wav", "b.wav", "c.txt"]),
    ],
)
def test_a_pattern_is_whatever_matches(put: Put, pattern: str, expected: list[str]) -> None:
    folder = put("a.wav", "b.wav", "c.txt", "x/a.wav", "x/y/a.wav", ".a.wav", "_asr/a.wav", ".asr-1.part")
    assert keys(f"{folder}/{pattern}") == expected


def test_a_listed_recording_is_the_one_that_a_task_for_it_alone_would_find(put: Put) -> None:
    names = (
        "a.wav",
        "with space.wav",
        "x/späte Aufnahme.wav",
        "x/a&b=c;d+e%41.wav",
        "录音/一.wav",
        "y/" + "y" * 200 + ".wav",
    )
    folder = put(*names)
    found = list(archive(folder).items())
    assert sorted(item.key for item in found) == sorted(names)
    for item in found:
        alone = find_audio(f"{folder}/{item.key}", open_path=open_path)
        assert item.source is not None
        assert (item.source.identity, item.location, item.source.name) == (alone.identity, alone.location, alone.name)
        item.source.check_unchanged()
        assert again(folder, item).source == item.source


def test_one_recording_a_path_object_and_a_list_name_the_same(put: Put) -> None:
    folder = put("a.wav", "b.wav")
    whole = [identity(item) for item in archive(folder).items()]
    for named in (f"{folder}/*.wav", open_path(f"{folder}/*"), [f"{folder}/a.wav", {"audio": f"{folder}/b.wav"}]):
        assert [identity(item) for item in archive(named).items()] == whole
    [one] = archive(f"{folder}/a.wav").items()
    assert identity(one) == whole[0]
    assert one.key == one.location


def test_an_empty_recording_is_a_problem_of_its_own(put: Put) -> None:
    put("a.wav", data=b"")
    bad, good = archive(put("b.wav")).items()
    assert bad.source is None
    assert isinstance(bad.problem, InputError)
    assert bad.location.endswith("/a.wav")
    assert "is empty" in str(bad.problem)
    assert good.problem is None


@pytest.mark.parametrize("named", ["nothing", "nothing/*.wav", "nothing.wav", "*.flac", "list.jsonl"])
def test_nothing_at_all_is_an_error_that_names_it(put: Put, named: str) -> None:
    folder = put("a.wav")
    with pytest.raises(InputError, match=r"[Tt]here is no") as raised:
        keys(f"{folder}/{named}")
    assert folder.rpartition("@")[2] in str(raised.value)
    assert not raised.value.retryable


def test_a_folder_of_what_is_no_audio_is_an_error(put: Put) -> None:
    with pytest.raises(InputError, match="no recording"):
        keys(put("notes.txt"))


@pytest.mark.parametrize("named", [None, "", [], {}, 7, b"/data", "  "])
def test_what_is_no_archive_is_refused(named: object) -> None:
    with pytest.raises(InputError, match="`audio`"):
        keys(named)


def test_a_relative_path_is_refused() -> None:
    for named in ("calls", "~/calls", "calls/*.wav", "file://calls"):
        with pytest.raises(InputError, match="not absolute"):
            keys(named)


# Names on disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"line\nbreak.wav",
        b"no \xff text.wav",
        b"a?.wav",
        b"a#b.wav",
        b"%2e.wav",
        b"n" * 251 + b".wav",
        b"\xe2\x80\xaegpj.wav",
    ],
)
def test_a_hostile_name_on_disk_is_the_file_itself(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(b"sound")
    [item] = archive(tmp_path).items()
    assert identity(item) == find_audio(path).identity
    assert again(tmp_path, item).source == item.source
    assert item.shown.isprintable()


def test_two_names_that_look_alike_stay_two(tmp_path: Path) -> None:
    for name in ("a\n.wav", "a\r.wav"):
        (tmp_path / name).write_bytes(b"sound")
    assert len({item.location for item in archive(tmp_path).items()}) == 2


@pytest.mark.parametrize("name", ["line\nbreak", "what?", "100%41", "#1", "with [brackets"])
def test_a_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.wav").write_bytes(b"sound")
    pattern = "".join(f"[{char}]" if char in "?[" else char for char in name)
    [item] = archive(f"{tmp_path}/{pattern}/*").items()
    assert identity(item) == find_audio(tmp_path / name / "a.wav").identity


def test_dots_in_a_folder_name_make_no_other_recording_of_it(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    (tmp_path / "y" / "a.wav").write_bytes(b"sound")
    for named in (f"{tmp_path}/x/../y", f"{tmp_path}//y/./", f"file://{tmp_path}/y", f"/{tmp_path}/x/../y/*.wav"):
        [item] = archive(named).items()
        assert identity(item) == find_audio(f"{tmp_path}/x/../y/a.wav").identity


def test_links_to_folders_do_not_lead_in_a_circle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").write_bytes(b"sound")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "day").symlink_to(tmp_path / "real")
    assert keys(tmp_path) == ["real/a.wav"]
    assert "day is a link to a folder" in caplog.text
    assert keys(tmp_path / "day") == ["a.wav"]  # What is named itself is followed.


def test_a_link_to_a_recording_is_one_and_a_link_to_nothing_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    (tmp_path / "b.wav").symlink_to("a.wav")
    (tmp_path / "c.wav").symlink_to("gone.wav")
    (tmp_path / "d.wav").symlink_to("d.wav")
    found = {item.key: item for item in archive(tmp_path).items()}
    assert identity(found["b.wav"]) == find_audio(tmp_path / "b.wav").identity
    for name in ("c.wav", "d.wav"):
        assert "a link that leads nowhere" in str(found[name].problem)


# Names in S3 ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(storage: ObjectStorage) -> Iterator[ObjectStorage]:
    yield storage
    empty(storage)


@pytest.mark.parametrize("name", ["a.wav?", "a.wav#", "tab\t.wav", "a//b.wav", "x/../b.wav", "end .wav "])
def test_a_hostile_key_is_read_as_itself_or_is_a_problem(bucket: ObjectStorage, name: str) -> None:
    bucket.put(f"calls/{name}", b"sound")
    [item] = archive(f"s3://calls@{BUCKET}/calls/**").items()
    assert item.key == name
    if item.source is None:
        assert isinstance(item.problem, InputError)
        return
    item.source.check_unchanged()  # Asks for the object by the path that was made of its key.
    assert item.location == f"s3://{BUCKET}/calls/{name}"
    assert again(f"s3://calls@{BUCKET}/calls", item).source == item.source


def test_a_name_and_the_folder_of_the_same_name_are_told_apart(bucket: ObjectStorage) -> None:
    for key in ("calls", "calls/a.wav", "calls/", "calls-2/b.wav"):
        bucket.put(key, b"sound")
    assert keys(f"s3://calls@{BUCKET}/calls/") == ["a.wav"]
    assert keys(f"s3://calls@{BUCKET}") == ["calls-2/b.wav", "calls/a.wav"]
    assert keys(f"s3://calls@{BUCKET}/calls*/*.wav") == ["calls-2/b.wav", "calls/a.wav"]


def test_a_folder_takes_a_request_for_each_page_and_none_for_a_file(
    bucket: ObjectStorage, requests_made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_asr.jobs.listing._PAGE", 10)
    for number in range(25):
        bucket.put(f"calls/2026/{number:05}.wav", b"sound")
    assert len(keys(f"s3://calls@{BUCKET}/calls")) == 25
    assert len(requests_made) == 2 + 3  # Is it a file, is it a folder? And three pages.
    requests_made.clear()
    assert len(keys(f"s3://calls@{BUCKET}/calls/2026/0002*")) == 5
    assert requests_made == ["list_objects_v2"]


def test_storage_that_refuses_or_is_away_says_so(bucket: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("calls/a.wav", b"sound")
    with bucket.strict(), pytest.raises(RequestError, match="permission denied"):
        keys(f"s3://calls@{BUCKET}/calls")
    with pytest.raises(RequestError, match="no Connection 'nobody'"):
        keys(f"s3://nobody@{BUCKET}/calls")
    connection = {"conn_type": "aws", "login": "k", "password": "s", "extra": {"endpoint_url": "http://127.0.0.1:9"}}
    connection["extra"] = {**connection["extra"], "config_kwargs": {"retries": {"max_attempts": 0}}}  # type: ignore[dict-item]
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(connection))
    with pytest.raises(ServiceError) as raised:
        keys(f"s3://away@{BUCKET}/calls")
    assert raised.value.retryable


def test_other_storage_is_listed_a_folder_at_a_time() -> None:
    fs = UPath("memory://recordings").fs
    for name in ("b.wav", "x/a.wav", "x/y/c.wav", "notes.txt"):
        fs.pipe_file(f"/recordings/{name}", b"sound")
    try:
        found = Archive("memory://recordings", open_path=UPath).items()
        assert [item.key for item in found] == ["b.wav", "x/a.wav", "x/y/c.wav"]
        assert [item.key for item in Archive("memory://recordings/x/*", open_path=UPath).items()] == ["a.wav"]
    finally:
        fs.rm("/recordings", recursive=True)


# A million -----------------------------------------------------------------------------------------------------------


class PagedStorage:
    """Storage with any number of objects, of which it makes a page when it is asked for one."""

    protocol = ("s3", "s3a")

    def __init__(self, count: int, *, fails_at: int | None = None) -> None:
        self.count = count
        self.fails_at = fails_at

    def invalidate_cache(self) -> None:
        pass

    def call_s3(self, _: str, *, Prefix: str, MaxKeys: int, ContinuationToken: str = "0", **__: Any) -> dict[str, Any]:  # noqa: N803
        start = int(ContinuationToken)
        if self.fails_at is not None and start >= self.fails_at:
            raise ConnectionResetError("the other end has gone")
        end = min(self.count, start + MaxKeys)
        objects = [{"Key": f"{Prefix}{at:09}.wav", "Size": 7, "ETag": f'"{at}"'} for at in range(start, end)]
        return {"Contents": objects, "IsTruncated": end < self.count, "NextContinuationToken": str(end)}


class PagedPath:
    def __init__(self, fs: PagedStorage, path: str = "recordings") -> None:
        self.fs = fs
        self.path = path

    def __truediv__(self, name: str) -> PagedPath:
        return PagedPath(self.fs, f"{self.path}/{name}")

    def __str__(self) -> str:
        return f"s3://{self.path}"


def paged(count: int, **arguments: Any) -> Iterator[ArchiveItem]:
    root = PagedPath(PagedStorage(count, **arguments))

    def opened(uri: str) -> Any:
        key = uri.partition("://")[2].partition("/")[2]
        return root / key if key else root

    return Archive(f"s3://{root.path}/", open_path=opened).items()


def peak(run: Callable[[], int]) -> int:
    """Return the most bytes that were in use at once."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_fifty_thousand_keys_take_the_memory_of_five_thousand() -> None:
    few, many = (_peak_alone(f"sum(1 for _ in paged({count}))") for count in (5_000, 50_000))
    assert many < few * 1.2


def _peak_alone(run: str) -> int:
    """Return the peak in a process of its own: what other tests have done to this one is no matter there."""
    script = f"from tests.jobs.test_archive import paged, peak; print(peak(lambda: {run}))"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout)


def test_many_folders_on_disk_take_the_memory_of_few(tmp_path: Path) -> None:
    for folder in range(100):
        (tmp_path / f"{folder:03}").mkdir()
        for number in range(50):
            (tmp_path / f"{folder:03}" / f"{number}.wav").write_bytes(b"s")

    def listed(name: str) -> Callable[[], int]:
        return lambda: sum(1 for _ in list_files(open_path(str(tmp_path / name))))

    assert listed("")() == 5_000
    assert peak(listed("")) < peak(listed("000")) + 200_000  # Bytes; a hundred times the files.


def test_storage_that_fails_on_the_way_is_left_to_a_retry() -> None:
    found: list[str] = []
    with pytest.raises(ServiceError, match="the other end has gone") as raised:
        found.extend(item.key for item in paged(5_000, fails_at=3_000))
    assert raised.value.retryable
    assert len(set(found)) == len(found) == 3_000


# Lists and manifests -------------------------------------------------------------------------------------------------


def manifest(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "recordings.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_a_manifest_may_say_parameters_and_lengths(tmp_path: Path, put: Put) -> None:
    folder = put("a.wav", "b.wav")
    lines = (
        {"audio": f"{folder}/a.wav", "config": {"speaker_labels": True}, "seconds": 12},
        "",
        {"uri": f"{folder}/b.wav"},
    )
    path = manifest(tmp_path, *lines)
    first, second = archive(path).items()
    assert (first.config, first.seconds, second.config, second.seconds) == ({"speaker_labels": True}, 12.0, None, None)
    assert again(path, first) == first
    assert [identity(each) for each in (first, second)] == [identity(each) for each in archive(folder).items()]


def test_the_manifest_of_an_earlier_batch_is_read_with_its_own_connection(storage: ObjectStorage) -> None:
    """Its rows have no connection id. Other credentials of the machine must not be tried in its place."""
    storage.put("calls/a.wav", b"sound")
    found = next(archive(f"s3://calls@{BUCKET}/calls/a.wav").items())
    storage.put("text/manifest.jsonl", json.dumps({"uri": found.location}).encode())
    opened: list[str] = []

    def opening(uri: str) -> UPath:
        opened.append(uri)
        return open_path(uri)

    named = f"s3://calls@{BUCKET}/text/manifest.jsonl"
    (item,) = Archive(named, open_path=opening).items()
    assert "@" not in item.location
    assert identity(item) == identity(again(named, item)) == identity(found)
    assert all(uri.startswith(f"s3://calls@{BUCKET}") for uri in opened)
    empty(storage)


@pytest.mark.parametrize(
    ("uri", "read_as"),
    [
        ("s3://in/a@b.wav", "s3://calls@in/a@b.wav"),
        ("S3a://in/a.wav", "S3a://calls@in/a.wav"),
        ("s3://other@in/a.wav", "s3://other@in/a.wav"),
        ("gs://in/a.wav", "gs://in/a.wav"),
        ("https://example.org/a.wav", "https://example.org/a.wav"),
        ("/calls/a.wav", "/calls/a.wav"),
    ],
)
def test_a_connection_is_passed_on_in_one_kind_of_storage_only(uri: str, read_as: str) -> None:
    assert with_connection_of(uri, "s3://calls@out/text/manifest.jsonl") == read_as
    assert with_connection_of(uri, "s3://out/te@xt/manifest.jsonl") == uri
    assert with_connection_of(uri, "/text/manifest.jsonl") == uri


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2, is no JSON object"),
        ("[]", "line 2, is no JSON object"),
        ("[" * 100_000, "line 2, is no JSON object"),
        ({}, "line 2 names no recording"),
        ({"audio": "/a.wav", "config": []}, "line 2: `config`"),
        ({"audio": "/a.wav", "seconds": -1}, "line 2: `seconds`"),
        ('{"audio": "/a.wav", "seconds": NaN}', "line 2: `seconds`"),
        ({"audio": "/a.wav", "seconds": True}, "line 2: `seconds`"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(RequestError, match=said) as raised:
        keys(manifest(tmp_path, {"audio": "https://example.org/a.wav"}, line))
    assert "recordings.jsonl" in str(raised.value)


def test_a_manifest_as_parquet_is_not_taken_for_a_recording() -> None:
    with pytest.raises(RequestError, match=r"manifest\.parquet is no recording.*\.jsonl"):
        archive(f"s3://calls@{BUCKET}/text/manifest.parquet")


def test_what_is_named_twice_is_there_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    named = ["https://example.org/a.wav", "https://example.org/b.wav", "https://user:pw@example.org/a.wav#x"]
    assert keys(named) == named[:2]
    assert "a.wav is named more than once" in caplog.text
    assert "pw" not in caplog.text


def test_a_recording_that_is_missing_is_a_problem_of_its_own(put: Put) -> None:
    folder = put("a.wav")
    gone, there = archive([f"{folder}/gone.wav", f"{folder}/a.wav"]).items()
    assert isinstance(gone.problem, InputError)
    assert identity(there)["size"] == 5


# Secrets -------------------------------------------------------------------------------------------------------------

SIGNED = "https://bucket.example/a.wav?X-Amz-Signature=abcdef0123456789&X-Amz-Date=x&part=2"


@pytest.mark.parametrize("signed", [SIGNED, "https://user:abcdef0123456789@bucket.example/a.wav"])
def test_what_grants_access_is_in_no_entry_and_is_found_again(tmp_path: Path, signed: str) -> None:
    plain = "https://bucket.example/b.wav?part=1"
    for named in ([plain, signed], manifest(tmp_path, {"audio": plain}, {"audio": signed}), signed):
        items = {item.location: item for item in archive(named).items()}
        item = items[UrlAudio(signed).location]
        assert "abcdef0123456789" not in json.dumps(item.entry())
        found = again(named, item)
        assert isinstance(found.source, UrlAudio)
        assert found.source.url == signed


def test_other_recordings_are_not_looked_at_for_it(put: Put, requests_made: list[str]) -> None:
    folder = put("a.wav")
    items = list(archive([f"{folder}/a.wav", SIGNED]).items())
    fresh = archive([f"{folder}/a.wav", SIGNED])
    requests_made.clear()
    found = fresh.reopen([item.entry() for item in items])
    assert [item.source for item in found] == [item.source for item in items]
    assert requests_made == []


def test_a_url_that_is_no_longer_named_is_a_problem() -> None:
    [item] = archive([SIGNED]).items()
    [found] = archive(["https://bucket.example/other.wav"]).reopen([item.entry()])
    assert found.source is None
    assert isinstance(found.problem, InputError)


@pytest.mark.parametrize("named", [SIGNED, "s3://calls@recordings/x", ["a"], "https://u:secret99@h.example/a.wav"])
def test_the_name_of_an_archive_grants_no_access(named: object) -> None:
    root = archive(named).root
    assert all(secret not in root for secret in ("abcdef", "calls@", "secret99"))


def test_a_way_that_does_not_fit_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    with pytest.raises(RequestError, match="'auto', 'always' and 'never'"):
        archive(tmp_path, upload="sometimes")
    [item] = archive(tmp_path, upload="never").items()
    assert "can only be uploaded" in str(item.problem)
