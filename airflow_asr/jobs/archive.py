"""The recordings of a batch: a folder, a pattern, a list or a manifest becomes a stream of audio sources."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_asr.api.errors import AssemblyAIError, InputError, RequestError
from airflow_asr.api.redaction import redact_url, visible
from airflow_asr.jobs.listing import Listed, list_files
from airflow_asr.jobs.named import Named, elements, lines
from airflow_asr.jobs.patterns import is_audio, parse
from airflow_asr.jobs.source import AudioSource, LocalAudio, UrlAudio, find_audio
from airflow_asr.jobs.storage import StoredAudio, storage_errors, version_of, with_connection_of, without_connection

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OWN = "_asr"


@dataclass(frozen=True)
class ArchiveItem:
    """A recording of an archive.

    Attributes:
        key: its path below the archive's root; its name where there is no root.
        source: the audio; None if there is a problem with it.
        location: where it is, as its source says; without a source, what was named, fit to be shown.
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
    def shown(self) -> str:
        """Its location, to be shown: a name may hold line breaks, or be no text at all."""
        return visible(self.location)

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
        if not named or not isinstance(named, str | Sequence) or isinstance(named, bytes | bytearray):
            raise InputError(f"`audio` must be a folder, a pattern, a manifest or a list; got {named!r}.")
        self._named = named.lstrip().rstrip("\t\r\n") if isinstance(named, str) else named
        if isinstance(self._named, str) and self._named.endswith(".parquet"):
            raise RequestError(
                f"{self.root} is no recording. Name the manifest in JSON lines (.jsonl) that is beside it."
            )
        self._open_path = open_path
        self._upload = upload
        self._urls: dict[str, str] | None = None
        self._buckets: dict[str, UPath] = {}

    @property
    def root(self) -> str:
        """What the user named, to be shown."""
        if isinstance(self._named, str):
            return visible(redact_url(self._named) if self._is_url else self._located(self._named))
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
                log.warning("%s is named more than once; it is transcribed once.", item.shown)
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
        return isinstance(self._named, str) and self._named.endswith(".jsonl")

    @property
    def _is_url(self) -> bool:
        return self._remote in ("http", "https")

    def _located(self, named: str) -> str:
        return without_connection(named) if self._remote else named

    def _all(self) -> Iterator[ArchiveItem]:
        if isinstance(self._named, str) and not self._is_manifest and not self._is_url:
            yield from self._of_folder(self._named)
        else:
            for row in self._rows():
                yield self._single(*row)

    def _rows(self) -> Iterator[Named]:
        """Yield what is named one by one."""
        if not isinstance(self._named, str):
            yield from elements(self._named)
        elif self._is_manifest:
            with storage_errors(self.root):
                path = self._path(self._named)
                path.fs.invalidate_cache()
                with path.fs.open(path.path, "rb") as file:
                    for row in lines(file, self.root):
                        # A batch writes manifests without connection ids: what it read lies beside them, as a rule.
                        yield row._replace(audio=with_connection_of(row.audio, self._named))
        else:
            yield Named(self._named)

    def _single(self, audio: str, config: Mapping[str, Any] | None = None, seconds: float | None = None) -> ArchiveItem:
        try:
            source = find_audio(audio, open_path=self._open_path, upload=self._upload)
        except InputError as error:
            shown = visible(redact_url(audio))
            return ArchiveItem(shown, None, shown, error)
        return ArchiveItem(source.location, source, source.location, None, config, seconds)

    def _of_folder(self, named: str) -> Iterator[ArchiveItem]:
        pattern = parse(named)
        folder = pattern.folder if pattern else named
        path = self._path(folder)
        if not pattern and not self._is_folder(path, named):
            yield self._single(named)
            return
        left_out = 0
        matches = pattern.matches if pattern else is_audio
        root = path.path.rstrip("/")
        asked: dict[str, Any] = {"starts": pattern.starts, "depth": pattern.depth} if pattern else {}
        with storage_errors(self.root):
            for listed in list_files(path, **asked):
                key = listed.path[len(root) + 1 :]
                if _OWN in key.split("/")[:-1]:
                    continue
                if matches(key):
                    yield self._listed(folder, key, listed)
                else:
                    left_out += 1
        if left_out and not pattern:
            log.info("%s: %d other files are not named as audio, and are left out.", self.root, left_out)

    def _is_folder(self, path: UPath, named: str) -> bool:
        """Say whether there is a folder of this name. ``isdir`` would list all of it where it is in S3."""
        if self._remote and (named.endswith("/") or "/" not in named.partition("://")[2]):
            return True
        try:
            path.fs.invalidate_cache()
            if self._remote is None:
                return stat.S_ISDIR(os.stat(path.path).st_mode)
            return bool(path.fs.info(path.path)["type"] == "directory")
        except FileNotFoundError:
            where = "" if self._remote else " Local paths are looked up where the task runs: mount the folder there."
            raise InputError(f"There is nothing at {self.root}.{where}") from None
        except Exception as error:
            with storage_errors(self.root):
                raise error from None

    def _path(self, name: str) -> UPath:
        if self._remote is None:
            return self._local_path(name)
        with storage_errors(self.root, self._remote):
            path = self._open_path(name)
            path.fs  # noqa: B018  makes the connection; later calls would fall back to the machine's own credentials
        if not path.path.rstrip("/").endswith(name.partition("://")[2].partition("/")[2].rstrip("/")):
            raise InputError(f"{self.root} would be read as {visible(path.path)!r}, another place. Rename it.")
        return path

    def _local_path(self, name: str) -> UPath:
        local = name.partition("://")[2] if _SCHEME.match(name) else name
        if not local.startswith("/"):
            raise InputError(
                f"`audio` {name!r} is not absolute. `~` and relative paths mean different things on different workers: "
                "give the whole path."
            )
        plain = Path("/", local.lstrip("/"))
        plain = plain.resolve() if ".." in plain.parts else plain  # As a recording's name is without them.
        root = self._open_path("file:///")  # A URI of the whole would lose a line break in it.
        return root / str(plain)[1:] if plain.parts[1:] else root

    # Sources -------------------------------------------------------------------------------------------------------

    def _listed(self, folder: str, key: str, listed: Listed) -> ArchiveItem:
        size = int(listed.info["size"])
        source: LocalAudio | StoredAudio
        if self._remote is None:
            source = LocalAudio(Path(listed.path), size, int(listed.info["mtime_ns"]))
        else:
            uri = f"{folder.rstrip('/')}/{key}"
            location = without_connection(uri)
            source = StoredAudio(self._stored(uri), location, size, version_of(listed.info), self._upload)
        problem = self._problem(source, listed)
        return ArchiveItem(key, None if problem else source, source.location, problem)

    def _problem(self, source: LocalAudio | StoredAudio, listed: Listed) -> InputError | None:
        shown = visible(source.location)
        if isinstance(source, StoredAudio) and source.path.path != listed.path:
            return InputError(f"{shown!r} would be read as {source.path.path!r}, another object. Rename it.")
        if "fault" in listed.info:
            return InputError(f"Cannot read {shown!r} on this worker: {listed.info['fault']}.")
        if not source.size:
            return InputError(f"{shown} is empty (0 bytes): there is nothing to transcribe.")
        if self._remote is None and self._upload == "never":
            return InputError(f"{shown!r} is on this worker's disk and can only be uploaded; `upload` is 'never'.")
        return None

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
        problem = None if source else InputError(f"{visible(location)} is no longer among what `audio` names.")
        return ArchiveItem(entry["key"], source, location, problem, entry.get("config"), entry.get("seconds"))

    def _secret(self, location: str) -> str | None:
        """Return the URL that was named for a location, with what grants access."""
        if self._urls is None:
            self._urls = {}
            for row in self._rows():
                if row.audio.lstrip().lower().startswith(("http://", "https://")):
                    source = self._single(row.audio).source
                    if isinstance(source, UrlAudio):
                        self._urls.setdefault(source.location, source.url)
        return self._urls.get(location)
