"""Plain HTTP to a local server."""

from __future__ import annotations

import time
from typing import Any

import requests

from airflow_asr.local.testing import LocalServer, scripted_audio

Json = dict[str, Any]


class Http:
    """Requests to one server, with its key."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self._session = requests.Session()
        self._session.headers["Authorization"] = server.api_key

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self.server.url + path, timeout=options.pop("timeout", 30), **options)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def json(self, path: str, **query: Any) -> Json:
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        body: Json = response.json()
        return body

    def upload(self, audio: bytes, **headers: str) -> str:
        response = self.call("POST", "/v2/upload", data=audio, headers=headers)
        assert response.status_code == 200, response.text
        url: str = response.json()["upload_url"]
        return url

    def create(self, **body: Any) -> requests.Response:
        return self.call("POST", "/v2/transcript", json=body)

    def submit(self, audio: bytes | str, **config: Any) -> Json:
        """Upload audio, unless it is a URL, and create a transcript."""
        audio_url = audio if isinstance(audio, str) else self.upload(audio)
        response = self.create(audio_url=audio_url, **config)
        assert response.status_code == 200, response.text
        body: Json = response.json()
        return body

    def say(self, text: str = "Hello there.", *, config: Json | None = None, **script: Any) -> Json:
        """Create a transcript in which ``text`` will be heard."""
        return self.submit(scripted_audio(text, **script), **(config or {}))

    def transcript(self, transcript_id: str) -> Json:
        return self.json(f"/v2/transcript/{transcript_id}")

    def wait(self, transcript_id: str, *statuses: str, seconds: float = 30) -> Json:
        """The transcript once it has one of these statuses, or has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            body = self.transcript(transcript_id)
            if body["status"] in (statuses or ("completed", "error")):
                return body
            time.sleep(0.02)
        raise AssertionError(f"{transcript_id} is still {body['status']}")

    def heard(self, text: str = "Hello there.", *, config: Json | None = None, **script: Any) -> Json:
        """A transcript that has ended."""
        return self.wait(self.say(text, config=config, **script)["id"])

    def failure(self, audio: bytes | str, **config: Any) -> str:
        """The error that a transcript ends in."""
        body = self.wait(self.submit(audio, **config)["id"])
        assert body["status"] == "error", body
        error: str = body["error"]
        return error
