"""The recordings of a batch: a folder, a pattern, a list or a manifest becomes a stream of audio sources."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_asr.api.errors import AssemblyAIError, InputError, RequestError
from airflow_asr.api.fields import number
from airflow_asr.api.redaction import redact_url, visible
from airflow_asr.jobs.listing import Listed, list_files
from airflow_asr.jobs.source import AudioSource, LocalAudio, UrlAudio, find_audio
from airflow_asr.jobs.storage import StoredAudio, storage_errors, version_of, without_connection

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

# What the service's documentation names, and what else its users send. A pattern takes any other, too.
_SUFFIXES = """
3ga 8svx aac ac3 aif aiff alac amr ape au caf dss flac flv m2ts m4a m4b m4p m4r m4v mka mkv mov mp2 mp3 mp4 mpeg mpg
mpga mts mxf oga ogg ogv opus qcp ra ts tta voc wav webm wma wmv wv
"""
AUDIO_SUFFIXES = frozenset(f".{each}" for each in _SUFFIXES.split())
_MANIFEST = ".jsonl"
_GLOB = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OWN = "_asr"


@dataclass(frozen=True)
class ArchiveItem:
    """A recording of an archive.

    Attributes:
        key: its path below the archive's root; its name where there is no root.
        source: the audio; None if there is a problem with it.
        location: its name, to be shown.
        problem: why it cannot be sent.
        config: parameters of its own.
        seconds: its length in seconds, if somebody has said so.
    """

    key: str
    source: AudioSource | None
    location: str
    problem: AssemblyAIError | None = None
    config: Mapping[str, Any] | None = None
    seconds: float | None = None

    @property
    def bytes(self) -> int | None:
        """Its size, where that is known."""
        return getattr(self.source, "size", None)

    def entry(self) -> dict[str, Any]:
        """Return what makes it again without looking at it. It holds no URL that grants access."""
        entry: dict[str, Any] = {"key": self.key, "at": self.location}
        if isinstance(self.source, LocalAudio):
            entry |= {"size": self.source.size, "mtime_ns": self.source.mtime_ns}
        elif isinstance(self.source, StoredAudio):
            entry |= {"size": self.source.size, "version": self.source.version, "uri": str(self.source.path)}
        elif isinstance(self.source, UrlAudio):
            entry |= {"secret": self.source.url != self.location}
        if self.config:
            entry["config"] = dict(self.config)
        if self.seconds is not None:
            entry["seconds"] = self.seconds
        return entry


class Archive:
    """The recordings that a user named.

    Args:
        named: a folder, a pattern, one recording, a manifest, or a list.
        open_path: makes a path of an object storage URI.
        upload: ``auto``, ``always`` or ``never``.
    """

    def __init__(self, named: object, *, open_path: Callable[[str], UPath], upload: str = "auto") -> None:
        if upload not in ("auto", "always", "never"):
            raise RequestError(f"`upload` is {upload!r}. There are 'auto', 'always' and 'never'.")
        if isinstance(named, os.PathLike) or hasattr(named, "protocol"):
            named = str(named)  # An ObjectStoragePath: its text has the connection id, its path has not.
        if not named or not isinstance(named, str | Sequence):
            raise InputError(f"`audio` must be a folder, a pattern, a manifest or a list; got {named!r}.")
        self._named = named.strip() if isinstance(named, str) else named
        self._open_path = open_path
        self._upload = upload
        self._urls: dict[str, str] | None = None
        self._buckets: dict[str, UPath] = {}

    @property
    def root(self) -> str:
        """What the user named, to be shown."""
        if isinstance(self._named, str):
            return without_connection(self._named) if self._remote else visible(self._named)
        return f"a list of {len(self._named)} recordings"

    def items(self) -> Iterator[ArchiveItem]:
        """Yield the recordings, each once, in an order that stays the same.

        Raises:
            InputError: there is nothing, or no such folder.
            RequestError: the name or a line of a manifest cannot be used, or the storage refuses.
            ServiceError: the storage could not be read to the end.
        """
        seen: set[int] = set()
        found = False
        for item in self._all():
            found = True
            mark = hash(item.location)
            if mark in seen:
                log.warning("%s is named more than once; it is transcribed once.", item.location)
                continue
            if not isinstance(self._named, str) or self._is_manifest:
                seen.add(mark)  # A folder names nothing twice.
            yield item
        if not found:
            raise InputError(f"{self.root}: there is no recording. Is the name right, and do the names end as audio's?")

    def reopen(self, entries: Sequence[Mapping[str, Any]]) -> list[ArchiveItem]:
        """Return the recordings of entries, without looking at them."""
        return [self._reopened(entry) for entry in entries]

    # What was named ------------------------------------------------------------------------------------------------

    @property
    def _remote(self) -> str | None:
        """The scheme of what was named, if it is no local path."""
        scheme = _SCHEME.match(self._named) if isinstance(self._named, str) else None
        return scheme[1].lower() if scheme and scheme[1].lower() not in ("file", "local") else None

    @property
    def _is_manifest(self) -> bool:
        return isinstance(self._named, str) and self._named.endswith(_MANIFEST)

    def _all(self) -> Iterator[ArchiveItem]:
        if not isinstance(self._named, str):
            for place, row in enumerate(self._named):
                yield self._of_row({"audio": row} if not isinstance(row, Mapping) else row, f"`audio`[{place}]")
        elif self._is_manifest:
            yield from self._of_manifest()
        elif self._remote in ("http", "https"):
            yield self._single(self._named)
        else:
            yield from self._of_folder()

    def _of_manifest(self) -> Iterator[ArchiveItem]:
        path = self._path(str(self._named))
        with storage_errors(self.root):
            text = path.fs.open(path.path, "rb")
        with text:
            for line, raw in enumerate(text, 1):
                if not raw.strip():
                    continue
                where = f"{self.root}, line {line}"
                try:
                    row = json.loads(raw)
                except (ValueError, RecursionError):
                    row = None
                if not isinstance(row, dict):
                    raise RequestError(f'{where} is no JSON object. Write one for each recording: {{"audio": "..."}}.')
                yield self._of_row(row, where)

    def _of_row(self, row: Mapping[str, Any], where: str) -> ArchiveItem:
        audio = row.get("audio") or row.get("uri")
        config, seconds = row.get("config"), row.get("seconds")
        if audio is None or not str(audio).strip():
            raise RequestError(f"{where} names no recording: it needs `audio`, a path or a URI.")
        if config is not None and not isinstance(config, Mapping):
            raise RequestError(f"{where}: `config` must be an object of parameter names to values.")
        if seconds is not None and (number(seconds) is None or seconds < 0):
            raise RequestError(f"{where}: `seconds` is {seconds!r}. Give the length of the audio, or leave it out.")
        return self._single(str(audio), config or None, None if seconds is None else float(seconds))

    def _single(self, audio: str, config: Mapping[str, Any] | None = None, seconds: float | None = None) -> ArchiveItem:
        try:
            source = find_audio(audio, open_path=self._open_path, upload=self._upload)
        except InputError as error:
            return ArchiveItem(redact_url(audio), None, redact_url(audio), error)
        return ArchiveItem(source.location, source, source.location, None, config, seconds)

    def _of_folder(self) -> Iterator[ArchiveItem]:
        named = str(self._named)
        folder, pattern = _split(named)
        path = self._path(folder)
        if not pattern and not self._is_folder(path):
            yield self._single(named)
            return
        left_out = 0
        matches = re.compile(_regex(pattern)).fullmatch if pattern else _is_audio
        root = path.path.rstrip("/")
        with storage_errors(self.root):
            for listed in list_files(path):
                key = listed.path[len(root) :].lstrip("/")
                if key.split("/")[0] == _OWN or f"/{_OWN}/" in key:
                    continue
                if matches(key):
                    yield self._listed(folder, key, listed)
                else:
                    left_out += 1
        if left_out and not pattern:
            log.info("%s: %d other files are not named as audio, and are left out.", self.root, left_out)

    def _is_folder(self, path: UPath) -> bool:
        with storage_errors(self.root):
            path.fs.invalidate_cache()
            if path.fs.isdir(path.path):
                return True
            if path.fs.exists(path.path):
                return False
        raise InputError(f"There is nothing at {self.root}. Local paths are looked up where the task runs.")

    def _path(self, name: str) -> UPath:
        if self._remote is None:
            local = name.partition("://")[2] if _SCHEME.match(name) else name
            if not local.startswith("/"):
                raise InputError(
                    f"`audio` {name!r} is not absolute. `~` and relative paths mean different things on different "
                    "workers: give the whole path."
                )
            name = f"file:///{local.lstrip('/')}"
        with storage_errors(self.root, self._remote or ""):
            path = self._open_path(name)
            path.fs  # noqa: B018  makes the connection; later calls would fall back to the machine's own credentials
        return path

    # Sources -------------------------------------------------------------------------------------------------------

    def _listed(self, folder: str, key: str, listed: Listed) -> ArchiveItem:
        size = int(listed.info["size"])
        if self._remote is None:
            shown = visible(listed.path)
            source: AudioSource = LocalAudio(Path(listed.path), size, int(listed.info["mtime_ns"]))
        else:
            uri = f"{folder.rstrip('/')}/{key}"
            shown = without_connection(uri)
            source = StoredAudio(self._stored(uri), shown, size, version_of(listed.info), self._upload)
        problem: AssemblyAIError | None = None
        if isinstance(source, StoredAudio) and source.path.path != listed.path:
            problem = InputError(f"{shown!r} would be read as {source.path.path!r}, another object. Rename it.")
        elif not size:
            problem = InputError(f"{shown} is empty (0 bytes): there is nothing to transcribe.")
        elif not listed.info.get("readable", True):
            problem = InputError(f"Cannot read {shown!r} on this worker: permission denied.")
        elif self._remote is None and self._upload == "never":
            problem = InputError(f"{shown!r} is on this worker's disk and can only be uploaded; `upload` is 'never'.")
        return ArchiveItem(visible(key), None if problem else source, shown, problem)

    def _stored(self, uri: str) -> UPath:
        """Return an object. Its Connection is looked up once, and not for each."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        name = f"{scheme}://{bucket}"
        if name not in self._buckets:
            with storage_errors(without_connection(name), scheme.lower()):
                self._buckets[name] = self._open_path(name)
                self._buckets[name].fs  # noqa: B018  makes the connection
        return self._buckets[name] / key

    def _reopened(self, entry: Mapping[str, Any]) -> ArchiveItem:
        location = entry["at"]
        source: AudioSource | None = None
        if "mtime_ns" in entry:
            source = LocalAudio(Path(location), entry["size"], entry["mtime_ns"])
        elif "version" in entry:
            source = StoredAudio(self._stored(entry["uri"]), location, entry["size"], entry["version"], self._upload)
        elif "secret" in entry:
            url = self._secret(location) if entry["secret"] else location
            source = UrlAudio(url) if url else None
        return ArchiveItem(entry["key"], source, location, None, entry.get("config"), entry.get("seconds"))

    def _secret(self, location: str) -> str | None:
        """Return the URL that was named for a location, with what grants access."""
        if self._urls is None:
            self._urls = {item.location: item.source.url for item in self._all() if isinstance(item.source, UrlAudio)}
        return self._urls.get(location)


def _split(named: str) -> tuple[str, str]:
    """Return the folder of a name, and the pattern in it, if there is one."""
    found = _GLOB.search(named)
    if found is None:
        return named, ""
    folder, _, _ = named[: found.start()].rpartition("/")
    return folder or "/", named[len(folder) + 1 :]


def _is_audio(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in AUDIO_SUFFIXES


def _regex(pattern: str) -> str:
    """Return a pattern as a regular expression: ``*`` and ``?`` stay in a folder, ``**`` does not."""
    made, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            made, at = made + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            made, at = made + ".*", at + 2
        elif pattern[at] == "*":
            made, at = made + "[^/]*", at + 1
        elif pattern[at] == "?":
            made, at = made + "[^/]", at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            made, at = made + f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]", end + 1
        else:
            made, at = made + re.escape(pattern[at]), at + 1
    return made
