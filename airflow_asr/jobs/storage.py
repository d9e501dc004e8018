"""Audio in object storage: signed for the service where the storage can sign, streamed to the service where not."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, AudioChangedError, InputError, RequestError, ServiceError
from airflow_asr.api.redaction import redact
from airflow_asr.jobs.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

log = logging.getLogger(__name__)

# A job may wait in the service's queue for a long time before its audio is fetched.
SIGNED_FOR_S = 6 * 3600
_BLOCK_BYTES = 8 * 1024 * 1024  # What is held in memory of an object that is streamed.

# Scheme to the extra of this package that brings its provider.
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), "azure"),
}
_NO_PROVIDER = ("filesystem registered", "Unsupported filesystem")  # Airflow's words, and those of upath.
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
        if self.upload != "always":
            url = self._signed()
            if url is not None:
                self.check_unchanged()
                return Delivery(url, uploaded=False)
            if self.upload == "never":
                raise InputError(
                    f"{self.location} cannot be signed with this Connection, and `upload` is 'never'. Use a Connection "
                    "with a key of its own, or upload='auto'."
                )
        with storage_errors(self.location), self._open() as stream:
            url = client.upload(stream, size=self.size)
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
        # s3fs asks for each block of the version that it opened, and fails if there is another by then.
        stream = self.path.fs.open(self.path.path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        return cast("IO[bytes]", stream)

    def _signed(self) -> str | None:
        sign = _SIGNERS.get(_protocol(self.path), _sign_plain)
        try:
            return sign(self.path.fs, self.path.path)
        except Exception as error:
            log.info("%s is not signed (%s); it is uploaded instead.", self.location, _reason(error))
            return None


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
    with storage_errors(location, scheme):
        path = open_path(uri)
        path.fs  # noqa: B018  makes the connection; later calls would fall back to the machine's own credentials
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
    """Return a URI without the connection id before its bucket."""
    scheme, _, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    return f"{scheme.lower()}://{bucket.rpartition('@')[2]}{slash}{key}"


@contextmanager
def storage_errors(location: str, scheme: str = "") -> Iterator[None]:
    """Turn what storage raises into errors of ours that say what to do. Their texts may hold secrets."""
    try:
        yield
    except AssemblyAIError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is nothing at {location}: no such bucket, or no such key in it.") from None
    except PermissionError:
        raise RequestError(
            f"{location}: the storage refuses (permission denied). Check what the Connection in its URI may do."
        ) from None
    except ImportError as error:
        raise RequestError(f"{location}: {_reason(error)}. {_install(scheme)}") from None
    except Exception as error:
        raise _other(location, scheme, error) from None


def _other(location: str, scheme: str, error: Exception) -> AssemblyAIError:
    if isinstance(error, ValueError) and any(said in str(error) for said in _NO_PROVIDER):
        return RequestError(f"{location}: Airflow knows no storage for {scheme}://. {_install(scheme)}")
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return RequestError(f"{location}: there are no credentials. Name a Connection: {scheme}://conn_id@bucket/key.")
    if type(error).__name__ == "FileExpired":
        return AudioChangedError(f"{location} changed while it was being read; a retry takes what is there then.")
    return ServiceError(f"{location} could not be read: {_reason(error)}.")


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


def _protocol(path: UPath) -> str:
    protocol = path.fs.protocol
    return protocol if isinstance(protocol, str) else protocol[0]


def _reason(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}".rstrip(". "))


# Each signature differs from every other, so that a job can be told from another one of the same object: a nonce goes
# into a parameter that is signed and that only changes a header of the storage's reply.


def _nonce() -> str:
    return f'inline; filename="{secrets.token_hex(16)}"'


def _sign_s3(fs: Any, path: str) -> str:
    if fs.anon:
        raise PermissionError("no credentials")
    config = {"signature_version": "s3v4", **(fs.config_kwargs or {})}  # s3fs takes version 2 in some regions.
    signer = type(fs)(**{**fs.storage_options, "config_kwargs": config})
    return str(signer.sign(path, expiration=SIGNED_FOR_S, ResponseContentDisposition=_nonce()))


def _sign_gcs(fs: Any, path: str) -> str:
    return str(fs.sign(path, expiration=SIGNED_FOR_S, version="v4", response_disposition=_nonce()))


def _sign_azure(fs: Any, path: str) -> str:
    return str(fs.sign(path, expiration=SIGNED_FOR_S, content_disposition=_nonce()))


def _sign_plain(fs: Any, path: str) -> str:
    raise NotImplementedError("this storage is not known to sign")


_SIGNERS: dict[str, Callable[[Any, str], str]] = {
    "s3": _sign_s3,
    "s3a": _sign_s3,
    "gs": _sign_gcs,
    "gcs": _sign_gcs,
    "abfs": _sign_azure,
    "az": _sign_azure,
    "abfss": _sign_azure,
}
