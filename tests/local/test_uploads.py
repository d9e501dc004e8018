"""Uploads: streamed to the disk, with the service's traps."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from airflow_asr.local.testing import scripted_audio
from tests.local.http import Http

NOT_AUDIO = "Transcoding failed. File does not appear to contain audio. File type is "
DATA = NOT_AUDIO + "application/octet-stream (data)"
MB = 1_000_000
ODD = (
    b'{"echo": {"seconds": Infinity}}',
    b'{"echo": {"process_s": -1}}',
    b'{"echo": {"text": "\\ud800"}}',
    b'{"echo": {"channels": "one"}}',
    b'{"echo": ' + b"[" * 100_000,
)


def zeros(size: int) -> Iterator[bytes]:
    for _ in range(size // MB):
        yield bytes(MB)


def test_empty(http: Http) -> None:
    response = http.call("POST", "/v2/upload", data=b"")
    assert response.status_code == 422
    assert response.text == "Upload failed, please try again"
    assert response.headers["Content-Type"].startswith("text/plain")
    assert http.call("POST", "/v2/upload", data=iter(())).status_code == 422


def test_multipart_is_found_out_too_late(http: Http) -> None:
    response = http.call("POST", "/v2/upload", files={"file": ("a.wav", scripted_audio("x"))})
    assert response.status_code == 200
    assert http.failure(response.json()["upload_url"]) == DATA


def test_json_is_found_out_too_late(http: Http) -> None:
    url = http.upload(scripted_audio("x"), **{"Content-Type": "application/json; charset=utf-8"})
    assert http.failure(url) == DATA


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"just some text, called a.mp3\n", "text/plain"),
        ("Grüße\n".encode() * 2000, "text/plain"),
        (b'{"text": "not a script"}', "text/plain"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "text/plain"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html><p>log in first", "text/html"),
        (b"<html>", "text/html"),
    ],
)
def test_text(http: Http, content: bytes, kind: str) -> None:
    assert http.failure(http.upload(content)) == NOT_AUDIO + kind


def test_script_that_is_none(http: Http) -> None:
    for script in (b'{"echo": {', b'{"echo": []}', b'{"echo": {"txet": "x"}}', b'{"echo": {"seconds": "long"}}', *ODD):
        assert "echo script" in http.failure(http.upload(script))


def test_nobody_else_reads_it(http: Http) -> None:
    url = http.upload(b"\0audio")
    for headers in ({}, {"Authorization": "local"}):
        response = requests.get(url, headers=headers, timeout=30)
        assert (response.status_code, response.json()) == (403, {"error": "AccessDenied"})


def test_upload_that_never_was(http: Http) -> None:
    url = f"{http.server.url}/upload/00000000-0000-4000-8000-000000000000"
    assert http.failure(url) == f"Download error to {url}, 403 Client Error: Forbidden"


def test_upload_url_with_another_host_name(http: Http) -> None:
    url = http.upload(scripted_audio("still here")).replace("127.0.0.1", "localhost")
    assert http.wait(http.submit(url)["id"])["text"] == "still here"


def test_largest(serve: Callable[..., Http]) -> None:
    http = serve(options=["--max-upload-bytes", str(5 * MB)])
    assert http.upload(bytes(5 * MB))
    for body in (bytes(5 * MB + 1), zeros(6 * MB), bytes(50 * MB)):
        response = http.call("POST", "/v2/upload", data=body)
        assert (response.status_code, "larger than 5000000 bytes" in response.json()["error"]) == (400, True)
    assert len(list((http.server.data_dir / "uploads").iterdir())) == 1


def test_wrong_key_is_told_to_who_sends_much(http: Http) -> None:
    response = http.call("POST", "/v2/upload", data=zeros(50 * MB), headers={"Authorization": "wrong"})
    assert response.status_code == 401


def test_never_whole_in_memory(serve: Callable[..., Http]) -> None:
    http = serve()
    http.upload(bytes(MB))
    before = peak = memory(http)
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, memory(http))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        url = http.call("POST", "/v2/upload", data=zeros(300 * MB), timeout=120).json()["upload_url"]
    finally:
        ended.set()
        watcher.join()
    assert (http.server.data_dir / "uploads" / url.rpartition("/")[2]).stat().st_size == 300 * MB
    assert peak - before < 30 * MB


def test_client_that_goes_away(http: Http) -> None:
    uploads = http.server.data_dir / "uploads"
    before = set(uploads.iterdir())
    with socket.create_connection(("127.0.0.1", int(http.server.url.rpartition(":")[2]))) as connection:
        connection.sendall(
            b"POST /v2/upload HTTP/1.1\r\nHost: x\r\nAuthorization: local\r\nContent-Length: 1000\r\n\r\nfirst bytes"
        )
        wait_for(lambda: set(uploads.iterdir()) != before)
    wait_for(lambda: set(uploads.iterdir()) == before)
    assert "Traceback" not in http.server.log


def test_upload_that_a_kill_cut_off(serve: Callable[..., Http], tmp_path: Path) -> None:
    http = serve(data_dir=tmp_path)
    with socket.create_connection(("127.0.0.1", int(http.server.url.rpartition(":")[2]))) as connection:
        connection.sendall(
            b"POST /v2/upload HTTP/1.1\r\nHost: x\r\nAuthorization: local\r\nContent-Length: 1000\r\n\r\nfirst bytes"
        )
        wait_for(lambda: list((tmp_path / "uploads").iterdir()) != [])
        http.server.kill()
    http.server.start()
    assert list((tmp_path / "uploads").iterdir()) == []


def memory(http: Http) -> int:
    """Bytes that the server holds in memory."""
    pages = Path(f"/proc/{http.server.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
