"""Where the key goes, whatever a Connection, a parameter or a reply says: to the service, in its own header."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import AssemblyAIError, RequestError
from airflow_asr.hooks.assemblyai import client_of
from airflow_asr.jobs.records import MemoryStore, TryRecords
from airflow_asr.jobs.source import UrlAudio, find_audio
from airflow_asr.jobs.submission import Submission
from tests.hostile import replies
from tests.hostile.test_replies import CALLS, KEY, check_error
from tests.scripted_service import Reply, ScriptedService


@pytest.fixture(scope="module")
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as running:
        yield running


@pytest.fixture(scope="module")
def stranger() -> Iterator[ScriptedService]:
    """A host that must not get the key."""
    with ScriptedService() as running:
        yield running


def talk(call: str, client: AssemblyAIClient) -> AssemblyAIError | None:
    with client:
        try:
            CALLS[call](client)
        except AssemblyAIError as error:
            check_error(error)
            return error
    return None


# Other hosts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_the_key_follows_no_redirect_to_another_host(
    service: ScriptedService, stranger: ScriptedService, call: str, status: int
) -> None:
    service.forget()
    stranger.forget()
    stranger.json({"id": "t-1", "status": "completed"})
    service.add(
        Reply(status, headers={"Location": f"{stranger.url}/v2/transcript/t-1", "Refresh": f"0;{stranger.url}"})
    )
    error = talk(call, AssemblyAIClient(KEY, base_url=service.url, sleep=lambda _: None))
    assert stranger.requests == []
    assert error is not None
    assert all(request.path.startswith("/v2/") for request in service.requests)


LINKS: tuple[Callable[[ScriptedService], str], ...] = (
    lambda host: f"{host.url}/v2/transcript?before_id=t-0",
    lambda host: f"//{host.url.removeprefix('http://')}/v2/transcript?before_id=t-0",
    lambda host: f"{host.url}?before_id=t-0&limit=1&status=x",
    lambda host: f"@{host.url.removeprefix('http://')}/?before_id=t-0",
    lambda host: f"?before_id=t-0#{host.url}",
    lambda host: f"?before_id={host.url}/",
    lambda host: f"?before_id=..%2F..%2F{host.url}",
    lambda host: "?before_id=t-0%0d%0aHost:%20evil.example",
)


@pytest.mark.parametrize("link", LINKS)
def test_the_key_follows_no_page_link(
    service: ScriptedService, stranger: ScriptedService, link: Callable[[ScriptedService], str]
) -> None:
    row = {"id": "t-1", "status": "completed", "created": "2026-06-10T15:38:19"}
    service.forget()
    stranger.forget()
    stranger.json({"transcripts": []})
    service.json({"transcripts": [row], "page_details": {"prev_url": link(stranger)}})
    service.json({"transcripts": [], "page_details": {"prev_url": None}})
    with AssemblyAIClient(KEY, base_url=service.url, sleep=lambda _: None) as client:
        try:
            assert [each.id for each in client.walk()] == ["t-1"]
        except AssemblyAIError as error:
            check_error(error)
    assert stranger.requests == []
    assert {request.path for request in service.requests} == {"/v2/transcript"}
    assert all(request.headers["Host"] == service.url.removeprefix("http://") for request in service.requests)


# Connections ---------------------------------------------------------------------------------------------------------

LINE_BREAKS = ("\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\0", "\t")


@pytest.mark.parametrize("line_break", LINE_BREAKS)
def test_no_header_is_added_by_way_of_the_key(service: ScriptedService, line_break: str) -> None:
    service.forget()
    service.json({"id": "t-1", "status": "completed"})
    with pytest.raises(AssemblyAIError, match="control character") as refused:
        AssemblyAIClient(f"{KEY}{line_break}X-Evil: 1", base_url=service.url)
    check_error(refused.value)


@pytest.mark.parametrize("line_break", LINE_BREAKS)
@pytest.mark.parametrize(
    "place", ["{url}{br}X-Evil: 1", "{url}/{br}X-Evil: 1/x", "{url} HTTP/1.1{br}X-Evil: 1{br}{br}"]
)
def test_no_header_is_added_by_way_of_the_base_url(service: ScriptedService, line_break: str, place: str) -> None:
    with pytest.raises(RequestError, match="base URL") as refused:
        AssemblyAIClient(KEY, base_url=place.format(url=service.url, br=line_break))
    check_error(refused.value)


@pytest.mark.parametrize(
    "base_url",
    ["http://good.example\\@{}", "http://good.example\\.{}", "http://u:p@{}", "http://{}\ud800", "http://{}#@"],
)
def test_a_base_url_that_can_be_read_in_two_ways_is_refused(stranger: ScriptedService, base_url: str) -> None:
    with pytest.raises(RequestError, match="base URL") as refused:
        AssemblyAIClient(KEY, base_url=base_url.format(stranger.url.removeprefix("http://")))
    check_error(refused.value)


@pytest.mark.parametrize("user", ["u%0d%0aX-Evil:%201", "u%0aX-Evil:1", "%00", "%e2%82%ac"])
def test_no_header_is_added_by_way_of_a_proxys_user(service: ScriptedService, user: str) -> None:
    service.forget()
    service.json({"id": "t-1", "status": "completed"})
    proxies = {"http": f"http://{user}:pass-of-the-proxy@{service.url.removeprefix('http://')}"}
    client = AssemblyAIClient(KEY, base_url="http://service.example", proxies=proxies, sleep=lambda _: None)
    error = talk("get", client)
    assert error is None or "pass-of-the-proxy" not in str(error)
    assert not any(name.lower() == "x-evil" for request in service.requests for name in request.headers)


@pytest.mark.parametrize(
    "proxy",
    ["socks5://u:pass-of-the-proxy@h:1", "ftp://x", "http://", "://", "http://[::1", "\r\n", "http://" + "a" * 300],
)
def test_a_proxy_that_cannot_be_is_a_wrong_setting_and_not_a_lost_reply(proxy: str) -> None:
    """A lost reply would be looked for in the list; nothing was sent."""
    for call in ("get", "submit"):
        client = AssemblyAIClient(KEY, base_url="http://service.example", proxies={"http": proxy}, sleep=lambda _: None)
        error = talk(call, client)
        assert isinstance(error, RequestError)
        assert "pass-of-the-proxy" not in str(error)


def test_a_host_that_cannot_be_looked_up_is_a_wrong_setting() -> None:
    error = talk("submit", AssemblyAIClient(KEY, base_url="http://" + "a" * 300, sleep=lambda _: None))
    assert isinstance(error, RequestError)


_extras = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("region", "base_url", "connect_timeout_s", "read_timeout_s", "verify_tls", "proxies", "x"),
        replies.anything | st.sampled_from(["us", "http://127.0.0.1:1", "[" * 100_000, "{}", "1", "true", 10**400]),
    ),
)


@given(extra=_extras | replies.anything, password=st.just(KEY) | st.text(), host=st.none() | st.text())
@example({"read_timeout_s": 10**400}, KEY, None)
@example({"base_url": "http://h\ud800"}, KEY, None)
@example({"proxies": "[" * 100_000}, KEY, None)
def test_any_connection_is_a_client_or_an_error_of_ours(extra: object, password: str, host: str | None) -> None:
    connection: Any = Connection(
        conn_id="any", conn_type="assemblyai", password=password, host=host, extra=json.dumps(extra)
    )
    try:
        client = client_of(connection)
    except AssemblyAIError as error:
        check_error(error)
    else:
        assert KEY not in repr(client)
        client.close()


# Parameters ----------------------------------------------------------------------------------------------------------


@given(value=replies.texts)
@example("secret\r\nX-Evil: 1")
def test_the_value_of_a_webhooks_header_stays_in_the_body(service: ScriptedService, value: str) -> None:
    service.forget()
    service.json({"id": "t-1", "status": "queued"})
    config = {"webhook_url": "https://h.example", "webhook_auth_header_name": value, "webhook_auth_header_value": value}
    with AssemblyAIClient(KEY, base_url=service.url) as client:
        client.submit("https://h.example/a.wav", config)
    assert json.loads(service.requests[0].body)["webhook_auth_header_value"] == value
    assert not any(name.lower() == "x-evil" for name in service.requests[0].headers)


deep: Any = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize("config", [deep, {"x": deep}, {"x": float("nan")}, {"x": b""}, {"x": {1, 2}}, {1: 2}, 7])
def test_parameters_that_cannot_be_sent_are_refused(service: ScriptedService, config: Any) -> None:
    service.forget()
    service.json({"transcripts": []})
    with AssemblyAIClient(KEY, base_url=service.url) as client, pytest.raises(RequestError, match="config") as refused:
        Submission(client, TryRecords(MemoryStore(), 1)).submit(UrlAudio("https://h.example/a.wav"), config)
    check_error(refused.value)
    assert service.requests == []


# Audio ---------------------------------------------------------------------------------------------------------------


@given(
    name=st.text(st.characters())
    | st.tuples(
        st.sampled_from(["http://", "https://", "file://", "/", "\\\\", "C:\\", "~", "HTTP://[", "s3://"]),
        st.text(st.characters()) | replies.texts,
    ).map("".join)
)
def test_any_name_of_audio_is_audio_or_an_error_of_ours(name: str) -> None:
    try:
        found = find_audio(name)
        assert found.name
        json.dumps(found.identity, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert found.shown.isprintable()
    except AssemblyAIError as error:
        check_error(error)


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"a\nERROR forged.wav", b"\xe2\x80\xaegnp.wav", b"\x1b[2J.wav"])
def test_a_file_whose_name_cannot_be_shown_is_transcribed_all_the_same(
    service: ScriptedService, tmp_path: Path, name: bytes
) -> None:
    """A name in Latin-1, as old archives have it, could not be written to the task state store."""
    path = tmp_path / name.decode("utf-8", "surrogateescape")
    path.write_bytes(b"RIFF")
    service.forget()
    service.json({"upload_url": "https://cdn.example/upload/1"}).json({"id": "t-1", "status": "queued"})
    store = MemoryStore()
    source = find_audio(path)
    assert source.shown.isprintable()
    with AssemblyAIClient(KEY, base_url=service.url) as client:
        assert Submission(client, TryRecords(store, 1)).submit(source, {}) == "t-1"
    json.dumps(list(store._values.values()), ensure_ascii=False).encode()


def test_a_signed_url_in_the_reason_of_an_earlier_failure_is_not_logged(
    service: ScriptedService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    reason = "Download error to https://h.example/a.wav?X-Amz-Signature=abc, 403 Client Error" + "!" * 10_000
    service.forget()
    service.json({"upload_url": "https://cdn.example/upload/1"}).json({"id": "t-1", "status": "queued"})
    service.json({"id": "t-1", "status": "error", "error": reason})
    service.json({"transcripts": []}).json({"upload_url": "https://cdn.example/upload/2"})
    service.json({"id": "t-2", "status": "queued"})
    store = MemoryStore()
    with AssemblyAIClient(KEY, base_url=service.url) as client, caplog.at_level("DEBUG", "airflow_asr"):
        for number, transcript_id in ((1, "t-1"), (2, "t-2")):
            assert Submission(client, TryRecords(store, number)).submit(find_audio(path), {}) == transcript_id
    assert "403 Client Error" in caplog.text
    assert "X-Amz-Signature=abc" not in caplog.text
    assert all(len(record.getMessage()) < 2000 for record in caplog.records)
