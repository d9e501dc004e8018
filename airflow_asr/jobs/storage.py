"""Audio in object storage: signed for the service where the storage can sign, streamed to the service where not."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, AudioChangedError, InputError, RequestError, ServiceError
from airflow_asr.api.redaction import redact
from airflow_asr.jobs.delivery import Delivery
from airflow_asr.jobs.signing import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

log = logging.getLogger(__name__)

_BLOCK_BYTES = 8 * 1024 * 1024  # What is held in memory of an object that is streamed.

# Scheme to the extra of this package that brings its provider.
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), "azure"),
}
_SAME = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs"}  # Other names for the same storage.
_NO_PROVIDER = ("filesystem registered", "Unsupported filesystem")  # Airflow's words, and those of upath.
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "RefreshError")
_WRONG = (errno.EINVAL, errno.ENAMETOOLONG, errno.ENOSYS, errno.EREMCHG)  # What s3fs makes of 400, 501 and 301.
# What the storages call that which changes with the content of an object, the best one first.
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "updated", "created")


@dataclass(frozen=True)
class StoredAudio:
    """One object.

    Attributes:
        path: the object, with the Connection that reads it.
        location: its URI without the Connection.
        size: bytes.
        version: its etag, or whatever the storage has that changes with the content.
        upload: ``auto``, ``always`` or ``never``.
    """

    path: UPath
    location: str
    size: int
    version: str
    upload: str

    @property
    def shown(self) -> str:
        """The URI."""
        return self.location

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.path.name

    @property
    def shared_url(self) -> bool:
        """Each upload and each signature is made anew."""
        return False

    @property
    def identity(self) -> dict[str, Any]:
        """URI, size and version."""
        return {"uri": self.location, "size": self.size, "version": self.version}

    def deliver(self, client: AssemblyAIClient) -> Delivery:
        """Sign the object, or upload it.

        Raises:
            InputError: it can neither be signed nor, with ``upload="never"``, uploaded; or it is gone.
            AudioChangedError: it changed since it was looked at.
            AssemblyAIError: the upload failed.
        """
        self.check_unchanged()
        url = None if self.upload == "always" else self._signed()
        if url is not None:
            return Delivery(url, uploaded=False)
        with storage_errors(self.location), self._open() as stream:
            try:
                url = client.upload(_Reader(stream, self.location), size=self.size)
            except InputError:
                self.check_unchanged()  # Too long, too short or gone: a retry may take what is there now.
                raise
        self.check_unchanged()
        return Delivery(url, uploaded=True)

    def check_unchanged(self) -> None:
        """Raise if the object is no longer the one that was looked at.

        Raises:
            AudioChangedError: it is another one.
        """
        now = _look(self.path, self.location)
        if (now["size"], version_of(now)) != (self.size, self.version):
            raise AudioChangedError(
                f"{self.location} changed while it was being read. Nothing was submitted; a retry takes what is there "
                "then."
            )

    def _open(self) -> IO[bytes]:
        # s3fs asks for each block of the version that it opened, and fails if there is another by then. The size is not
        # given: it would turn that off.
        stream = self.path.fs.open(self.path.path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        return cast("IO[bytes]", stream)

    def _signed(self) -> str | None:
        try:
            return sign(self.path.fs, self.path.path)
        except Exception as error:
            reason = _reason(error)
        if self.upload == "never":
            raise InputError(
                f"{self.location} cannot be signed with this Connection ({reason}), and `upload` is 'never'. Use a "
                "Connection with a key of its own, or upload='auto'."
            )
        log.info("%s is not signed (%s); it is uploaded instead.", redact(self.location), reason)
        return None


class _Reader:
    """Reads an object, and fails with errors of ours.

    An OSError of the storage in the middle of an upload would pass for one of the connection to the service; urllib3
    even takes a reset or a broken pipe for an early reply, and waits for it.
    """

    def __init__(self, stream: IO[bytes], location: str) -> None:
        self._stream = stream
        self._location = location

    def read(self, size: int = -1, /) -> bytes:
        with storage_errors(self._location):
            return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


def find_stored(uri: str, scheme: str, open_path: Callable[[str], UPath], *, upload: str) -> StoredAudio:
    """Return the object that a URI names.

    Args:
        uri: as ``s3://conn_id@bucket/key``.
        scheme: its scheme, in lower case.
        open_path: makes a path of it.
        upload: ``auto``, ``always`` or ``never``.

    Raises:
        InputError: there is no such object, it is empty, or it is a folder.
        RequestError: the storage refuses, or there is no such Connection, bucket, or provider.
        ServiceError: the storage could not be reached.
    """
    location = without_connection(uri)
    bucket, _, key = location.partition("://")[2].partition("/")
    if scheme in _EXTRAS and not bucket:
        raise InputError(
            f"{location} names no bucket. Give it as {scheme}://bucket/key, with conn_id@ before the bucket."
        )
    with storage_errors(location, scheme):
        path = open_path(uri)
        path.fs  # noqa: B018  makes the connection; later calls would fall back to the machine's own credentials
    if not path.path.rstrip("/").endswith(key.rstrip("/")):
        raise InputError(
            f"{location!r} would be read as {path.path!r}, another object. A key with a tab or a line break in it, "
            "or with a `?` or `#` at its end, cannot be given as a URI. Rename it, or give a signed https URL."
        )
    found = _look(path, location)
    if found.get("type") == "directory" or not path.name:
        raise InputError(
            f"{location} is a folder. Give one audio file; map the task over a folder's files with expand()."
        )
    if not found["size"]:
        raise InputError(f"{location} is empty (0 bytes): there is nothing to transcribe.")
    return StoredAudio(path, location, int(found["size"]), version_of(found), upload)


def version_of(info: Mapping[str, Any]) -> str:
    """Return what changes whenever the content of an object does, as its storage tells it."""
    for name in _VERSIONS:
        if info.get(name):
            return str(info[name]).strip('"')
    return ""


def without_connection(uri: str) -> str:
    """Return a URI without the connection id before its bucket, and with the usual name of its scheme."""
    scheme, _, rest = _split(uri)
    return f"{scheme}://{rest}"


def with_connection_of(uri: str, other: str) -> str:
    """Return a URI with the connection id of another in the same kind of storage, unless it has one of its own."""
    (scheme, own, _), (others, connection, _) = _split(uri), _split(other)
    if own or not connection or scheme != others:
        return uri
    return uri.replace("://", f"://{connection}", 1)


def _split(uri: str) -> tuple[str, str, str]:
    """Return the usual name of a URI's scheme, the connection id with its @ if there is one, and bucket and key."""
    scheme, _, rest = uri.partition("://")
    place, slash, key = rest.partition("/")
    connection, at, bucket = place.rpartition("@")
    return _SAME.get(scheme.lower(), scheme.lower()), connection + at, bucket + slash + key


@contextmanager
def storage_errors(location: str, scheme: str = "") -> Iterator[None]:
    """Turn what storage raises into errors of ours that say what to do. Their texts may hold secrets."""
    try:
        yield
    except AssemblyAIError:
        raise
    except ImportError as error:
        raise RequestError(f"{location}: {_reason(error)}. {_install(scheme)}") from None
    except Exception as error:
        raise _ours(location, scheme, error) from None


def _ours(location: str, scheme: str, error: Exception) -> AssemblyAIError:
    kind, status = type(error).__name__, _status(error)
    if kind == "FileExpired":
        return AudioChangedError(f"{location} changed while it was being read; a retry takes what is there then.")
    if isinstance(error, FileNotFoundError) or status == 404:
        return InputError(f"There is nothing at {location}: no such bucket, or no such key in it.")
    if kind in _NO_CREDENTIALS:
        return RequestError(
            f"{location}: there are no credentials that work ({_reason(error)}). Put them into a Connection, and name "
            "it in the URI: conn_id@ before the bucket."
        )
    if isinstance(error, PermissionError) or status in (401, 403) or str(error).startswith("Forbidden"):
        return RequestError(
            f"{location}: the storage refuses: permission denied ({_reason(error)}). Check what the Connection in its "
            "URI may do (with none, it is what this machine may do), and that its credentials have not expired. S3 "
            "also says so of a key that is not there, to who may not list the bucket."
        )
    if isinstance(error, ValueError) and any(said in str(error) for said in _NO_PROVIDER):
        return RequestError(f"{location}: Airflow knows no storage for {scheme}://. {_install(scheme)}")
    if _is_wrong(error, kind, status):
        return RequestError(
            f"{location}: the storage calls the request wrong ({_reason(error)}). Are the credentials whole and not "
            "expired, are region and endpoint the bucket's, and is it a name that the storage allows?"
        )
    return ServiceError(f"{location} could not be read: {_reason(error)}.")


def _is_wrong(error: Exception, kind: str, status: int | None) -> bool:
    """Say whether the same request would fail again."""
    if status is not None:
        return 400 <= status < 500 and status not in (408, 429)
    return kind == "ParamValidationError" or isinstance(error, ValueError) or getattr(error, "errno", None) in _WRONG


def _status(error: Exception) -> int | None:
    """Return the HTTP status that an error of Google's or Azure's storage carries."""
    found = str(getattr(error, "status_code", None) or getattr(error, "code", None))
    return int(found) if found.isdecimal() else None


def _install(scheme: str) -> str:
    extra = _EXTRAS.get(scheme)
    if extra is None:
        return "Give an absolute local path, an https URL, or storage whose Airflow provider is installed."
    return f"Install its provider where tasks run: pip install 'airflow-asr[{extra}]'"


def _look(path: UPath, location: str) -> dict[str, Any]:
    """Return what the storage says of an object now, not what it said before."""
    with storage_errors(location):
        path.fs.invalidate_cache()
        return dict(path.fs.info(path.path))


def _reason(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}".rstrip(". "))
