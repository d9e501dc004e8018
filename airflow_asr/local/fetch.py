"""From an audio URL to a file: an upload of our own, or something to download."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import requests
from requests.utils import get_environ_proxies

from airflow_asr.local.engine import AudioError
from airflow_asr.local.media import not_audio
from airflow_asr.local.uploads import Uploads

_TIMEOUT_S = (10.0, 60.0)  # To connect; between two reads.
_LONGEST_DOWNLOAD_S = 3600.0
_REDIRECTS = 10
_CHUNK_BYTES = 1024 * 1024


class AudioFetcher:
    """Brings the audio of a transcript onto the disk.

    Any host may be named: the server is a tool for the machine that it runs on, and whoever has its key may make it
    send GET requests from there.
    """

    def __init__(self, uploads: Uploads, directory: Path, max_bytes: int) -> None:
        self._uploads = uploads
        self._directory = directory
        self._max_bytes = max_bytes
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in directory.iterdir():
            left_over.unlink()

    @contextmanager
    def audio(self, url: str) -> Iterator[Path]:
        """The file behind a URL, for as long as the context lasts.

        Raises:
            AudioError: there is none, or it cannot be audio; the text is the service's.
        """
        upload = self._uploads.find(url)
        if upload is None:
            target = self._directory / str(uuid.uuid4())
            try:
                self._download(url, target)
                yield target
            finally:
                target.unlink(missing_ok=True)
        elif upload.broken:
            raise AudioError(not_audio("application/octet-stream (data)"))
        elif upload.path.exists():
            yield upload.path
        else:
            raise AudioError(f"Download error to {url}, 404 Client Error: Not Found")

    def _download(self, url: str, target: Path) -> None:
        with requests.Session() as session, target.open("wb") as file:
            # No credentials from the owner's .netrc for a URL that somebody sent; their proxies are still needed.
            session.trust_env = False
            session.max_redirects = _REDIRECTS
            try:
                proxies = get_environ_proxies(url)
                with session.get(url, stream=True, timeout=_TIMEOUT_S, proxies=proxies) as response:
                    _check_reply(url, response)
                    self._save(url, response, file)
            except (requests.RequestException, ValueError) as error:
                raise AudioError(
                    f"Download error, unable to download {url}. Please make sure the file exists and is accessible "
                    "from the internet."
                ) from error

    def _save(self, url: str, response: requests.Response, file: BinaryIO) -> None:
        size = 0
        deadline = time.monotonic() + _LONGEST_DOWNLOAD_S
        for chunk in response.iter_content(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_bytes:
                raise AudioError(f"Download error to {url}, the file is larger than {self._max_bytes} bytes")
            if time.monotonic() > deadline:
                raise AudioError(f"Download error to {url}, it took longer than {_LONGEST_DOWNLOAD_S:.0f} seconds")
            file.write(chunk)


def _check_reply(url: str, response: requests.Response) -> None:
    if response.status_code >= 400:
        whose = "Client" if response.status_code < 500 else "Server"
        raise AudioError(f"Download error to {url}, {response.status_code} {whose} Error: {response.reason}")
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        # Share links and login pages: the usual surprise.
        raise AudioError("File does not appear to contain audio. File type is text/html")
