"""What each file system is asked for when it signs; the clouds themselves are not here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.jobs.signing import SIGNED_FOR_S, sign
from airflow_asr.jobs.source import find_audio


class Cloud:
    """A file system that notes what it is asked for."""

    def __init__(self, protocol: tuple[str, ...] | str, credentials: object = "of its Connection") -> None:
        self.protocol = protocol
        self.credentials = SimpleNamespace(credentials=credentials)  # As gcsfs has them.
        self.asked: dict[str, Any] = {}
        self.query = "?sig=1"

    def sign(self, path: str, **asked: Any) -> str:
        self.asked = asked
        return f"https://cloud.example/{path}{self.query}"

    def invalidate_cache(self) -> None:
        pass

    def info(self, path: str) -> dict[str, Any]:
        return {"size": 5, "etag": '"abc"', "type": "file"}


@pytest.mark.parametrize(
    ("protocol", "scheme", "version", "nonce"),
    [(("gs", "gcs"), "gs", "v4", "response_disposition"), (("abfs", "az"), "abfs", None, "content_disposition")],
)
def test_clouds_are_asked_for_unique_signatures(
    protocol: tuple[str, ...], scheme: str, version: str | None, nonce: str
) -> None:
    fs = Cloud(protocol)
    path: Any = SimpleNamespace(fs=fs, path="bucket/a.wav", name="a.wav")
    audio = find_audio(f"{scheme}://conn@bucket/a.wav", open_path=lambda _: path)
    nonces = []
    with AssemblyAIClient("0123456789") as client:
        for _ in range(2):
            assert not audio.deliver(client).uploaded
            assert (fs.asked["expiration"], fs.asked.get("version")) == (SIGNED_FOR_S, version)
            nonces.append(fs.asked[nonce])
    assert len(set(nonces)) == 2


def test_google_storage_without_credentials_is_not_signed_with_those_of_the_machine() -> None:
    fs = Cloud(("gs", "gcs"), credentials=None)
    with pytest.raises(PermissionError, match="no credentials"):
        sign(fs, "bucket/a.wav")
    assert fs.asked == {}


def test_a_url_without_a_signature_is_not_taken_for_a_signed_one() -> None:
    fs = Cloud("abfs")
    fs.query = "?response-content-disposition=inline"
    with pytest.raises(PermissionError, match="cannot sign a URL"):
        sign(fs, "bucket/a.wav")


@pytest.mark.parametrize("path", ["bucket/x/../a.wav", "bucket/./a.wav", "bucket/.."])
def test_a_key_that_no_url_can_carry_is_not_signed(path: str) -> None:
    with pytest.raises(ValueError, match="another object"):
        sign(Cloud("abfs"), path)


def test_storage_that_is_not_known_to_sign_is_not_asked() -> None:
    fs = Cloud("webdav")
    with pytest.raises(NotImplementedError):
        sign(fs, "bucket/a.wav")
    assert fs.asked == {}
