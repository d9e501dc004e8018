"""What the user names (a local path, object storage or a URL) becomes a URL that the service can fetch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AudioChangedError, InputError, RequestError
from airflow_asr.api.redaction import redact_url, visible
from airflow_asr.jobs.delivery import Delivery
from airflow_asr.jobs.storage import find_stored

if TYPE_CHECKING:
    from upath import UPath

    Opener = Callable[[str], UPath]

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
# Query parameters that change each time a URL is signed, and say nothing about which audio it is. Short and common
# names count as such only beside the signature itself: elsewhere they may be what tells two recordings apart.
_SIGNED_BY = {
    None: re.compile(r"x-amz-.*|x-goog-.*"),
    "signature": re.compile(
        r"signature|awsaccesskeyid|googleaccessid|expires|key-pair-id|policy"
    ),  # S3 v2, GCS v2, CDN
    "sig": re.compile(r"sig|se|st|sp|sv|sr|spr|skoid|sktid|skt|ske|sks|skv"),  # Azure
}


class AudioSource(Protocol):
    """Audio that somebody named, checked as far as that costs nothing."""

    @property
    def shown(self) -> str:
        """The name to show in messages."""
        ...

    @property
    def location(self) -> str:
        """Where it is, always written the same way, without secrets and without a connection id. It names outputs."""
        ...

    @property
    def name(self) -> str:
        """The file name; never empty."""
        ...

    @property
    def shared_url(self) -> bool:
        """Whether the service gets a URL that other tasks may send too."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this audio from another one, and from itself after a change. Grants no access."""
        ...

    def deliver(self, client: AssemblyAIClient) -> Delivery:
        """Return a URL that the service can fetch."""
        ...

    def check_unchanged(self) -> None:
        """Raise an AudioChangedError if it is no longer what it was when it was found."""
        ...


@dataclass(frozen=True)
class LocalAudio:
    """A file on this machine; it is streamed to the service."""

    path: Path
    size: int
    mtime_ns: int

    @property
    def shown(self) -> str:
        """The path, as far as it can be written: Linux takes names that are no UTF-8, and names with line breaks."""
        return visible(str(self.path))

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def shared_url(self) -> bool:
        """An upload is ours alone."""
        return False

    @property
    def identity(self) -> dict[str, Any]:
        """Path, size and modification time."""
        return {"path": str(self.path), "size": self.size, "mtime_ns": self.mtime_ns}

    def deliver(self, client: AssemblyAIClient) -> Delivery:
        """Upload the file and return its upload URL.

        Raises:
            InputError: it can no longer be read, or was refused.
            AudioChangedError: it changed since it was looked at.
            AssemblyAIError: the upload failed.
        """
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise _unreadable(self.path, error) from None
        with file:
            try:
                url = client.upload(file, size=self.size)
            except InputError:
                self.check_unchanged()  # Too long or too short: it is still being written, most likely.
                raise
        self.check_unchanged()
        return Delivery(url, uploaded=True)

    def check_unchanged(self) -> None:
        """Raise if the file is no longer the one that was looked at.

        Raises:
            AudioChangedError: it changed.
        """
        try:
            now = self.path.stat()
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime_ns):
            raise AudioChangedError(
                f"{str(self.path)!r} changed while it was being read: is it still being written? Nothing was "
                "submitted; a retry takes what is there then."
            )


@dataclass(frozen=True)
class UrlAudio:
    """A URL that the service fetches by itself."""

    url: str

    def __repr__(self) -> str:
        return f"UrlAudio({self.shown!r})"

    @property
    def shown(self) -> str:
        """The URL without what grants access."""
        return redact_url(self.url)

    @property
    def location(self) -> str:
        """The URL without user info, fragment and what signing adds."""
        return str(self.identity["url"])

    @property
    def name(self) -> str:
        """The last part of the path; the host if there is no path."""
        parts = urlsplit(self.url)
        return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or "audio"

    @property
    def shared_url(self) -> bool:
        """The user gave it, and may have given it to others."""
        return True

    @property
    def identity(self) -> dict[str, Any]:
        """The URL without user info, fragment and what signing adds."""
        parts = urlsplit(self.url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        present = {None, *(name.lower() for name, _ in query)}
        signing = [pattern for mark, pattern in _SIGNED_BY.items() if mark in present]
        kept = [(name, value) for name, value in query if not any(each.fullmatch(name.lower()) for each in signing)]
        return {"url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(kept), ""))}

    def deliver(self, client: AssemblyAIClient) -> Delivery:
        """Return the URL as it is."""
        return Delivery(self.url, uploaded=False)

    def check_unchanged(self) -> None:
        """Nobody can tell."""


def find_audio(audio: str | os.PathLike[str], *, open_path: Opener | None = None, upload: str = "auto") -> AudioSource:
    """Return the audio that the user named.

    Args:
        audio: an absolute local path, an object storage URI as ``s3://conn_id@bucket/key``, or an http(s) URL. A link
            is the file that it leads to, under the name of the link.
        open_path: makes a path of an object storage URI.
        upload: ``auto``, ``always`` or ``never``.

    Raises:
        InputError: there is no such audio, it is empty or unreadable, or the name is of a kind that is not supported.
        RequestError: its storage refuses, or there is no such Connection or provider.
        ServiceError: its storage could not be reached.
    """
    if upload not in ("auto", "always", "never"):
        raise RequestError(f"`upload` is {upload!r}. There are 'auto', 'always' and 'never'.")
    name = os.fspath(audio) if isinstance(audio, os.PathLike) and not hasattr(audio, "protocol") else audio
    if hasattr(name, "protocol"):
        name = str(name)  # An ObjectStoragePath: its text has the connection id, its path has not.
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"`audio` must be a path or a URL; got {audio!r}.")
    scheme = _SCHEME.match(name.strip())
    if scheme is None:
        return _local(name, upload)
    kind = scheme["scheme"].lower()
    if kind in ("http", "https"):
        return _url(name, upload)
    if kind in ("file", "local"):
        return _local(name.strip().partition("://")[2], upload)
    if open_path is None:
        raise InputError(f"`audio` {redact_url(name)!r}: {kind}:// is read by the operators and the hook, not here.")
    # A key may end in a space. A line break at the end comes from a file or a template.
    return find_stored(name.lstrip().rstrip("\t\r\n"), kind, open_path, upload=upload)


def _url(name: str, upload: str) -> UrlAudio:
    url = name.strip()
    if upload == "always":
        raise InputError(
            f"`audio` {redact_url(url)!r}: the service fetches a URL by itself, so upload='always' does not go with "
            "it. To have it uploaded, name the object by its storage URI, such as s3://bucket/key with conn_id@ before "
            "the bucket."
        )
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or any(char.isspace() or not char.isprintable() for char in url):
        raise InputError(f"`audio` {redact_url(url)!r} is no usable URL: it needs a host, and no white space.")
    return UrlAudio(url)


def _local(name: str, upload: str) -> LocalAudio:
    if _DRIVE.match(name):
        raise InputError(
            f"`audio` {name!r} is a Windows path. Give the path as the worker sees it, such as /data/a.wav."
        )
    path = Path(name)
    if not path.is_absolute():
        raise InputError(
            f"`audio` {name!r} is not absolute. `~` and relative paths mean different things on different workers: "
            "give the whole path."
        )
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(
            f"There is no file {name!r} on this worker. Local paths are looked up where the task runs: mount the "
            "folder there, or give a URL."
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(
            f"{name!r} is a directory. Give one audio file; map the task over a folder's files with expand()."
        )
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{name!r} is not a regular file.")
    if found.st_size == 0:
        raise InputError(f"{name!r} is empty (0 bytes): there is nothing to transcribe.")
    if not os.access(path, os.R_OK):
        raise _unreadable(path, PermissionError("permission denied"))
    if upload == "never":
        raise InputError(f"{name!r} is on this worker's disk and can only be uploaded, but `upload` is 'never'.")
    return LocalAudio(_without_dots(path), found.st_size, found.st_mtime_ns)


def _without_dots(path: Path) -> Path:
    """Return the one name of a file that its outputs and its record go by."""
    return path.parent.resolve() / path.name if ".." in path.parts else path


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"Cannot read {str(path)!r} on this worker: {reason}.")
