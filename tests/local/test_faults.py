"""Faults on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_asr.local.testing import LocalServer, scripted_audio
from tests.local.http import Http

CREATE = {"method": "POST", "route": "/v2/transcript"}


@pytest.fixture(scope="module")
def server() -> Any:
    with LocalServer() as running:
        yield running


@pytest.fixture
def http(server: LocalServer) -> Any:
    with Http(server) as client:
        yield client
    server.clear_faults()


def count(http: Http) -> int:
    return len(http.json("/v2/transcript", limit=200)["transcripts"])


def test_answer(http: Http) -> None:
    http.server.faults(
        {**CREATE, "action": "answer", "status": 429, "headers": {"Retry-After": "7"}, "body": {"error": "Too Many"}}
    )
    before = count(http)
    response = http.create(audio_url="https://a.example/b")
    assert (response.status_code, response.json(), response.headers["Retry-After"]) == (429, {"error": "Too Many"}, "7")
    assert count(http) == before
    assert http.create(audio_url="nonsense").status_code == 400, "one time only"


def test_answer_after_the_effect(http: Http) -> None:
    http.server.faults({**CREATE, "action": "answer", "when": "after", "status": 502, "body": "<html>"})
    before = count(http)
    response = http.create(audio_url=http.upload(scripted_audio("x")))
    assert (response.status_code, response.text) == (502, "<html>")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert count(http) == before + 1


def test_default_answer(http: Http) -> None:
    http.server.faults({"route": "*", "action": "answer"})
    response = http.get("/v2/transcript")
    assert response.status_code == 500
    assert response.json()["error"].startswith("Internal server error")


@pytest.mark.parametrize(("when", "added"), [("before", 0), ("after", 1)])
def test_dropped_connection(http: Http, when: str, added: int) -> None:
    audio_url = http.upload(scripted_audio("x"))
    before = count(http)
    http.server.faults({**CREATE, "action": "drop", "when": when})
    with pytest.raises(requests.ConnectionError):
        http.create(audio_url=audio_url)
    assert count(http) == before + added
    assert http.submit(audio_url)["status"] == "processing"


def test_dropped_upload(http: Http) -> None:
    http.server.faults({"method": "POST", "route": "/v2/upload", "action": "drop"})
    with pytest.raises(requests.ConnectionError):
        http.upload(b"\0" * 5_000_000)
    assert http.upload(b"\0" * 5_000_000)


@pytest.mark.parametrize("when", ["before", "after"])
def test_delay(http: Http, when: str) -> None:
    http.server.faults({"route": "/v2/transcript", "action": "delay", "seconds": 0.4, "when": when})
    begin = time.monotonic()
    assert http.get("/v2/transcript").status_code == 200
    assert time.monotonic() - begin >= 0.4


def test_delay_with_a_client_that_gives_up(http: Http) -> None:
    audio_url = http.upload(scripted_audio("x"))
    before = count(http)
    http.server.faults({**CREATE, "action": "delay", "seconds": 2, "when": "after"})
    with pytest.raises(requests.ReadTimeout):
        http.call("POST", "/v2/transcript", json={"audio_url": audio_url}, timeout=1)
    assert count(http) == before + 1


def test_how_often(http: Http) -> None:
    http.server.faults({"method": "get", "route": "/v2/transcript", "action": "answer", "times": 2, "skip": 1})
    assert [http.get("/v2/transcript").status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    http.server.faults({"route": "/v2/transcript", "action": "answer", "times": None, "status": 503})
    assert {http.get("/v2/transcript").status_code for _ in range(5)} == {503}
    assert len(http.server.faults_left()) == 1
    http.server.clear_faults()
    assert http.get("/v2/transcript").status_code == 200


def test_a_share_of_the_requests(http: Http) -> None:
    http.server.faults({"route": "/v2/transcript", "action": "answer", "times": None, "status": 503, "share": 0.3})
    statuses = [http.get("/v2/transcript").status_code for _ in range(200)]
    assert 30 < statuses.count(503) < 90
    assert statuses.count(200) + statuses.count(503) == 200


def test_one_after_the_other(http: Http) -> None:
    http.server.faults(
        {"route": "*", "action": "answer", "status": 501}, {"route": "*", "action": "answer", "status": 502}
    )
    assert [http.get("/v2/transcript").status_code for _ in range(3)] == [501, 502, 200]


def test_which_requests(http: Http) -> None:
    one, other = http.heard()["id"], http.heard()["id"]
    http.server.faults({"route": f"/v2/transcript/{other}", "action": "answer", "times": None})
    assert http.get(f"/v2/transcript/{one}").status_code == 200
    assert http.get(f"/v2/transcript/{other}").status_code == 500
    http.server.clear_faults()
    http.server.faults({"method": "GET", "route": "/v2/transcript/{id}", "action": "answer", "times": None})
    assert http.get(f"/v2/transcript/{one}").status_code == 500
    assert http.get(f"/v2/transcript/{one}/srt").status_code == 200
    assert http.get("/v2/transcript").status_code == 200
    assert http.call("DELETE", f"/v2/transcript/{one}").status_code == 200


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({}, "route and action"),
        ({"route": "*"}, "route and action"),
        ({"route": "*", "action": "explode"}, "action"),
        ({"route": "v2", "action": "drop"}, "route"),
        ({"route": "*", "action": "drop", "when": "during"}, "when"),
        ({"route": "*", "action": "drop", "times": 0}, "times"),
        ({"route": "*", "action": "drop", "share": 0}, "share"),
        ({"route": "*", "action": "drop", "share": 1.1}, "share"),
        ({"route": "*", "action": "drop", "skip": -1}, "skip"),
        ({"route": "*", "action": "answer", "status": 42}, "status"),
        ({"route": "*", "action": "answer", "headers": {"a": 1}}, "headers"),
        ({"route": "*", "action": "delay", "seconds": -1}, "seconds"),
        ({"route": "*", "action": "delay", "method": 1}, "method"),
        ({"route": "*", "action": "drop", "wen": "after"}, "wen"),
    ],
)
def test_what_is_no_fault(http: Http, fault: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        http.server.faults(fault)
    assert http.server.faults_left() == []


def test_counts(serve: Callable[..., Http]) -> None:
    http = serve()
    transcript_id = http.heard()["id"]
    http.get(f"/v2/transcript/{transcript_id}/srt")
    http.get("/v2/transcript")
    http.server.faults({"route": "*", "action": "answer"})
    http.get("/v2/transcript")
    requests.get(f"{http.server.url}/v2/transcript", timeout=30)
    counts = http.server.requests()
    polls = counts.pop("GET /v2/transcript/{id}")
    assert polls >= 1
    assert counts == {
        "POST /v2/upload": 1,
        "POST /v2/transcript": 1,
        "GET /v2/transcript/{id}/srt": 1,
        "GET /v2/transcript": 3,
    }


def test_only_if_enabled(serve: Callable[..., Http]) -> None:
    http = serve(faults=False)
    for path in ("/_faults", "/_requests"):
        assert http.get(path).status_code == 404
    assert http.call("POST", "/_faults", json={"route": "*", "action": "drop"}).status_code == 404
