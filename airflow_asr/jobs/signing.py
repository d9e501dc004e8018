"""URLs by which the service can fetch an object for some hours, without credentials of ours."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

# A job may wait in the service's queue for a long time before its audio is fetched.
SIGNED_FOR_S = 6 * 3600
_SIGNATURES = {"x-amz-signature", "x-goog-signature", "signature", "sig"}


def sign(fs: Any, path: str) -> str:
    """Return a signed URL of an object. It differs from every other one, so that its job can be told from others.

    Args:
        fs: a file system of ``fsspec``.
        path: the object's path in it, with the bucket.

    Raises:
        Exception: the storage cannot sign, or not with these credentials, or no URL can lead to this object.
    """
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError("whoever fetches a URL takes the `.` and `..` out of it, and gets to another object")
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    signer = _SIGNERS.get(protocol)
    if signer is None:
        raise NotImplementedError("this storage is not known to sign")
    url = signer(fs, path)
    if not _SIGNATURES.intersection(name.lower() for name in parse_qs(urlsplit(url).query)):
        # A Connection may leave signing to a service of its own, request by request; there is none in a URL then.
        raise PermissionError("what its Connection signs with cannot sign a URL")
    return url


# A nonce makes two signatures of one second differ. It goes into a parameter that is signed and that only changes a
# header of the storage's reply.


def _nonce() -> str:
    return f'inline; filename="{secrets.token_hex(16)}"'


def _sign_s3(fs: Any, path: str) -> str:
    if fs.anon:
        raise PermissionError("no credentials")
    config = {"signature_version": "s3v4", **(fs.config_kwargs or {})}  # s3fs takes version 2 in some regions.
    signer = type(fs)(**{**fs.storage_options, "config_kwargs": config})
    return str(signer.sign(path, expiration=SIGNED_FOR_S, ResponseContentDisposition=_nonce()))


def _sign_gcs(fs: Any, path: str) -> str:
    if fs.credentials.credentials is None:
        raise PermissionError("no credentials")  # It would take those of the machine.
    return str(fs.sign(path, expiration=SIGNED_FOR_S, version="v4", response_disposition=_nonce()))


def _sign_azure(fs: Any, path: str) -> str:
    return str(fs.sign(path, expiration=SIGNED_FOR_S, content_disposition=_nonce()))


_SIGNERS: dict[str, Callable[[Any, str], str]] = {
    **dict.fromkeys(("s3", "s3a"), _sign_s3),
    **dict.fromkeys(("gs", "gcs"), _sign_gcs),
    **dict.fromkeys(("abfs", "abfss", "az"), _sign_azure),
}
