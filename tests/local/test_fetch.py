"""Audio behind an http(s) URL."""

from __future__ import annotations

import socket

import pytest

from airflow_asr.local.testing import scripted_audio
from tests.local.http import Http
from tests.scripted_service import Reply, ScriptedService


def test_download(http: Http, service: ScriptedService) -> None:
    service.add(Reply(302, headers={"Location": "/moved.mp3"}), Reply(body=scripted_audio("from afar")))
    body = http.wait(http.submit(f"{service.url}/a.mp3?signature=abc")["id"])
    assert (body["text"], body["audio_url"]) == ("from afar", f"{service.url}/a.mp3?signature=abc")
    assert [request.path for request in service.requests] == ["/a.mp3", "/moved.mp3"]
    assert "Authorization" not in service.requests[0].headers
    assert list((http.server.data_dir / "downloads").iterdir()) == []


@pytest.mark.parametrize(
    ("status", "told"),
    [(403, "403 Client Error: Forbidden"), (404, "404 Client Error: Not Found"), (503, "503 Server Error: ")],
)
def test_refused(http: Http, service: ScriptedService, status: int, told: str) -> None:
    service.add(Reply(status))
    url = f"{service.url}/a.mp3"
    assert http.failure(url).startswith(f"Download error to {url}, {told}")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(body=b"\0\1", headers={"Content-Type": "text/html; charset=utf-8"}), "text/html"),
        (Reply(body=b"<!doctype html><title>Log in</title>"), "text/html"),
        (Reply(body=b"Not audio at all"), "text/plain"),
        (Reply(body=b""), "inode/x-empty"),
    ],
)
def test_page_in_place_of_audio(http: Http, service: ScriptedService, reply: Reply, kind: str) -> None:
    service.add(reply)
    told = http.failure(f"{service.url}/a.mp3")
    assert told.endswith(f"File does not appear to contain audio. File type is {kind}")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(drop=True),
        Reply(body=b"\0" * 5000, truncate=True),
        Reply(302, headers={"Location": "/a.mp3"}),
        Reply(302, headers={"Location": "file:///etc/passwd"}),
    ],
)
def test_broken_line(http: Http, service: ScriptedService, reply: Reply) -> None:
    service.add(reply)
    url = f"{service.url}/a.mp3"
    assert http.failure(url) == (
        f"Download error, unable to download {url}. "
        "Please make sure the file exists and is accessible from the internet."
    )


def test_nobody_there(http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "unable to download" in http.failure(f"http://127.0.0.1:{port}/a.mp3")
    assert "unable to download" in http.failure("http://nowhere.invalid/a.mp3")
