from __future__ import annotations

import contextlib
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.client import EU, US, AssemblyAIClient
from airflow_asr.api.errors import (
    AssemblyAIError,
    AuthenticationError,
    InputError,
    InvalidReplyError,
    RateLimitError,
    RedactedAudioGoneError,
    ReplyLostError,
    RequestError,
    ServerError,
    SubmitOutcomeUnknownError,
    TranscriptNotFoundError,
    UnreachableError,
)
from tests.scripted_service import Reply, ScriptedService

KEY = "0123456789abcdef0123456789abcdef"
DONE = {"id": "t-1", "status": "completed", "text": "Hello."}


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def client(service: ScriptedService, naps: list[float]) -> Iterator[AssemblyAIClient]:
    with AssemblyAIClient(KEY, base_url=service.url, read_timeout_s=0.5, sleep=naps.append) as client:
        yield client


# Key and base URL ----------------------------------------------------------------------------------------------------


def test_the_key_is_sent_raw_and_without_the_white_space_of_a_copied_line(service: ScriptedService) -> None:
    service.json(DONE)
    AssemblyAIClient(f"  {KEY}\n", base_url=service.url + "/").get("t-1")
    assert service.requests[0].headers["Authorization"] == KEY
    assert service.requests[0].path == "/v2/transcript/t-1"


@pytest.mark.parametrize("key", ["", "   ", "two words", "line\nbreak", "clé", "\x00abc"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(AuthenticationError) as raised:
        AssemblyAIClient(key)
    assert "key" in str(raised.value).lower()
    assert not key.strip() or key not in str(raised.value)


@pytest.mark.parametrize("url", ["", "api.assemblyai.com", "ftp://x", "https://", "https://u:p@host", "https://h?x=1"])
def test_a_base_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="https://api"):
        AssemblyAIClient(KEY, base_url=url)


def test_the_two_regions() -> None:
    assert AssemblyAIClient(KEY).base_url == US == "https://api.assemblyai.com"
    assert AssemblyAIClient(KEY, base_url=EU).base_url == "https://api.eu.assemblyai.com"


def test_the_account_tells_keys_apart_and_gives_none_away() -> None:
    one, two = AssemblyAIClient(KEY), AssemblyAIClient(KEY[::-1])
    assert one.account != two.account
    assert one.account == AssemblyAIClient(KEY + "\n").account
    assert KEY not in repr(one) + one.account


def test_a_netrc_entry_does_not_take_the_place_of_the_key(
    service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    service.json(DONE)
    AssemblyAIClient(KEY, base_url=service.url).get("t-1")
    assert service.requests[0].headers["Authorization"] == KEY


def test_a_redirect_is_not_followed_so_the_key_stays_here(service: ScriptedService, client: AssemblyAIClient) -> None:
    with ScriptedService() as elsewhere:
        elsewhere.json(DONE)
        service.add(Reply(302, headers={"Location": f"{elsewhere.url}/v2/transcript/t-1?sig=abc"}))
        with pytest.raises(RequestError, match="base URL") as raised:
            client.get("t-1")
        assert elsewhere.requests == []
    assert "sig=abc" not in str(raised.value)


# Retry ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_burst_of_server_errors_is_outlasted(
    service: ScriptedService, client: AssemblyAIClient, naps: list[float], status: int
) -> None:
    service.add(*[Reply(status, b"<html>oops</html>")] * 3).json(DONE)
    assert client.get("t-1").text == "Hello."
    assert len(service.requests) == 4
    assert len(naps) == 3


def test_an_endless_burst_ends_in_an_error_that_says_it_may_work_later(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    service.add(Reply(503))
    with pytest.raises(ServerError, match="503") as raised:
        client.get("t-1")
    assert raised.value.retryable
    assert len(service.requests) == 5


def test_429_waits_as_long_as_the_service_asks(
    service: ScriptedService, client: AssemblyAIClient, naps: list[float]
) -> None:
    service.json({"error": "Too Many Requests"}, 429, retry_after="7").json(DONE)
    client.get("t-1")
    assert 7 <= naps[0] <= 8


def test_429_without_retry_after_backs_off(
    service: ScriptedService, client: AssemblyAIClient, naps: list[float]
) -> None:
    service.json({"error": "Too Many Requests"}, 429).json(DONE)
    client.get("t-1")
    assert 0 < naps[0] <= 0.5


def test_a_dropped_connection_is_tried_again(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.add(Reply(drop=True)).json(DONE)
    assert client.get("t-1").id == "t-1"


def test_a_truncated_reply_is_tried_again(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.add(Reply(body=json.dumps(DONE).encode(), truncate=True)).json(DONE)
    assert client.get("t-1").id == "t-1"


def test_a_server_that_never_answers_is_given_up(service: ScriptedService) -> None:
    service.add(Reply(hang=True))
    client = AssemblyAIClient(KEY, base_url=service.url, read_timeout_s=0.1, sleep=lambda _: None)
    with pytest.raises(ReplyLostError, match="no whole reply") as raised:
        client.get("t-1")
    assert raised.value.retryable


def test_a_reply_that_is_not_json_names_the_likely_reason(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.add(Reply(body=b"<html><title>Please log in</title></html>"))
    with pytest.raises(InvalidReplyError, match="login page"):
        client.get("t-1")


@pytest.mark.parametrize(
    "reply", [[], {}, {"id": "t-1"}, {"status": "queued"}, {"id": None, "status": "queued"}, "x", 1]
)
def test_json_that_is_no_transcript_is_an_error_of_ours(
    service: ScriptedService, client: AssemblyAIClient, reply: object
) -> None:
    service.json(reply)
    with pytest.raises(InvalidReplyError):
        client.get("t-1")


def test_nobody_listening_is_told_apart_from_a_lost_reply() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = AssemblyAIClient(KEY, base_url=f"http://127.0.0.1:{port}", sleep=lambda _: None)
    with pytest.raises(UnreachableError, match="Nothing was sent"):
        client.submit("https://example.org/a.wav")


def test_tls_spoken_to_a_plain_server_sends_nothing(service: ScriptedService) -> None:
    service.json(DONE)
    client = AssemblyAIClient(KEY, base_url=service.url.replace("http:", "https:"), sleep=lambda _: None)
    with pytest.raises(UnreachableError):
        client.submit("https://example.org/a.wav")
    assert all(KEY not in str(request.headers) for request in service.requests)


# Submit --------------------------------------------------------------------------------------------------------------


def test_submit_passes_parameters_through_untouched(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json({"id": "t-1", "status": "queued"})
    config = {"speech_models": ["of-tomorrow"], "a_new_parameter": {"deep": [1, None]}}
    assert client.submit("https://example.org/a.wav", config).id == "t-1"
    assert json.loads(service.requests[0].body) == {**config, "audio_url": "https://example.org/a.wav"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(502, b"<html>"),
        Reply(503),
        Reply(504),
        Reply(408),
        Reply(307, headers={"Location": "https://elsewhere.example/"}),
        Reply(drop=True),
        Reply(hang=True),
        Reply(200, b'{"id": "t-1", "status": "queued"}', truncate=True),
        Reply(200, b"not json"),
        Reply(200, b'{"status": "queued"}'),
        Reply(200, b'{"id": "", "status": "queued"}'),
    ],
    ids=["500", "502", "503", "504", "408", "307", "dropped", "never", "truncated", "no-json", "no-id", "empty-id"],
)
def test_an_unclear_end_of_submit_is_sent_once_and_says_that_money_may_be_spent(
    service: ScriptedService, client: AssemblyAIClient, reply: Reply
) -> None:
    service.add(reply)
    with pytest.raises(SubmitOutcomeUnknownError, match="may have accepted") as raised:
        client.submit("https://example.org/a.wav?sig=secret")
    assert not raised.value.retryable
    assert len(service.requests) == 1
    assert "sig=secret" not in str(raised.value)


def test_429_on_submit_is_proof_that_nothing_was_accepted_and_is_not_sent_again(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    service.json({"error": "Too Many Requests"}, 429, retry_after="3")
    with pytest.raises(RateLimitError) as raised:
        client.submit("https://example.org/a.wav")
    assert raised.value.retry_after == 3
    assert len(service.requests) == 1


def test_a_retired_model_says_what_to_set(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json({"error": 'The "universal-3-pro" speech model(s) have been deprecated.'}, 400)
    with pytest.raises(RequestError, match="Set `speech_models`"):
        client.submit("https://example.org/a.wav", {"speech_models": ["universal-3-pro"]})


def test_audio_url_in_the_config_is_refused_before_anything_is_sent(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    with pytest.raises(RequestError, match="audio_url"):
        client.submit("https://example.org/a.wav", {"audio_url": "https://example.org/b.wav"})
    assert service.requests == []


# Upload --------------------------------------------------------------------------------------------------------------

UPLOADED = {"upload_url": "https://cdn.assemblyai.com/upload/abc"}


def test_a_file_is_uploaded_raw_with_its_length(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(UPLOADED)
    assert client.upload(io.BytesIO(b"RIFF" * 1000)) == UPLOADED["upload_url"]
    request = service.requests[0]
    assert request.body == b"RIFF" * 1000
    assert request.headers["Content-Type"] == "application/octet-stream"
    assert request.headers["Content-Length"] == "4000"


def test_a_file_is_uploaded_from_where_it_stands(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(UPLOADED)
    file = io.BytesIO(b"skip-this-RIFF")
    file.seek(10)
    client.upload(file)
    assert service.requests[0].body == b"RIFF"


def test_an_iterator_is_uploaded_in_chunks(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(UPLOADED)
    client.upload(iter([b"RI", b"FF"]))
    assert service.requests[0].body == b"RIFF"
    assert service.requests[0].headers["Transfer-Encoding"] == "chunked"


def test_an_iterator_of_known_size_is_sent_with_its_length(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(UPLOADED)
    client.upload(iter([b"RI", b"FF"]), size=4)
    assert service.requests[0].headers["Content-Length"] == "4"


def test_a_failed_upload_of_a_file_starts_again_from_its_beginning(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    service.add(Reply(500), Reply(422, b"Upload failed, please try again")).json(UPLOADED)
    client.upload(io.BytesIO(b"RIFF"))
    assert [request.body for request in service.requests] == [b"RIFF"] * 3


def test_an_iterator_is_not_sent_twice(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.add(Reply(500))
    with pytest.raises(ServerError):
        client.upload(iter([b"RIFF"]))
    assert len(service.requests) == 1


def test_an_upload_that_is_refused_three_times_is_blamed_on_the_file(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    service.add(Reply(422, b"Upload failed, please try again"))
    with pytest.raises(InputError, match="file is to blame"):
        client.upload(io.BytesIO(b"RIFF"))
    assert len(service.requests) == 3


@pytest.mark.parametrize("source", ["/a/path.wav", b"bytes", Path("a.wav")])
def test_what_is_not_a_stream_is_refused(client: AssemblyAIClient, source: object) -> None:
    with pytest.raises(InputError, match="open binary file"):
        client.upload(source)  # type: ignore[arg-type]


def test_a_file_opened_as_text_is_refused(service: ScriptedService, client: AssemblyAIClient, tmp_path: Path) -> None:
    service.json(UPLOADED)
    path = tmp_path / "a.wav"
    path.write_text("RIFF")
    with path.open() as file, pytest.raises(InputError, match="'rb'"):
        client.upload(file)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "problem"), [(3, "grew"), (5, "shrank")])
def test_a_file_that_changes_under_the_upload_is_not_sent_as_if_it_were_whole(
    service: ScriptedService, client: AssemblyAIClient, size: int, problem: str
) -> None:
    service.json(UPLOADED)
    with pytest.raises(InputError, match=problem):
        client.upload(iter([b"RI", b"FF"]), size=size)


def test_a_file_that_cannot_be_read_to_its_end_is_not_called_a_lost_connection(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"RIFF"
        raise OSError(5, "Input/output error")

    service.json(UPLOADED)
    with pytest.raises(InputError, match="Input/output error"):
        client.upload(broken(), size=8)


# Reading -------------------------------------------------------------------------------------------------------------


def test_an_unknown_id_is_told_apart_from_a_wrong_request(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json({"error": "Transcript lookup error, transcript id not found"}, 400)
    with pytest.raises(TranscriptNotFoundError, match="another account") as raised:
        client.get("t-1")
    assert raised.value.transcript_id == "t-1"


@pytest.mark.parametrize("bad", ["", ".", ".."])
def test_an_id_that_is_no_path_segment_is_refused(client: AssemblyAIClient, bad: str) -> None:
    with pytest.raises(RequestError, match="no transcript id"):
        client.get(bad)


def test_an_id_cannot_reach_another_endpoint(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(DONE)
    client.get("../upload?x=1#y")
    assert service.requests[0].path == "/v2/transcript/..%2Fupload%3Fx%3D1%23y"


def test_captions(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.add(Reply(body="1\n00:00:00,000 --> 00:00:01,000\nÜber".encode()))
    assert client.subtitles("t-1", "srt", chars_per_caption=32).endswith("Über")
    assert service.requests[0].path == "/v2/transcript/t-1/srt"
    assert service.requests[0].query == {"chars_per_caption": ["32"]}


def test_word_search_sends_words_by_comma(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json({"id": "t-1", "total_count": 0, "matches": []})
    client.word_search("t-1", ["hello", "good bye"])
    assert service.requests[0].query == {"words": ["hello,good bye"]}
    with pytest.raises(RequestError, match="comma"):
        client.word_search("t-1", ["yes, please"])


def test_redacted_audio_that_is_ready_being_made_or_gone(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json({"status": "redacted_audio_ready", "redacted_audio_url": "https://x/y"})
    service.add(Reply(202, b"")).json({"error": "Redacted audio has expired"}, 400)
    assert client.redacted_audio("t-1") == "https://x/y"
    assert client.redacted_audio("t-1") is None
    with pytest.raises(RedactedAudioGoneError, match="expired"):
        client.redacted_audio("t-1")


def test_delete_sentences_and_paragraphs(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json({"id": "t-1", "status": "completed", "text": "Deleted by user."}).json({"sentences": []})
    service.json({"paragraphs": []})
    assert client.delete("t-1").deleted
    assert client.sentences("t-1") == {"sentences": []}
    assert client.paragraphs("t-1") == {"paragraphs": []}
    assert [(request.method, request.path) for request in service.requests] == [
        ("DELETE", "/v2/transcript/t-1"),
        ("GET", "/v2/transcript/t-1/sentences"),
        ("GET", "/v2/transcript/t-1/paragraphs"),
    ]


# The list ------------------------------------------------------------------------------------------------------------


def page(ids: list[str], older: str | None, base: str = "https://api.assemblyai.com") -> dict[str, object]:
    rows = [{"id": each, "status": "completed", "created": "2026-06-10T15:38:19.123723", "error": ""} for each in ids]
    prev = f"{base}/v2/transcript?limit=2&before_id={older}" if older else None
    newer = f"{base}/v2/transcript?limit=2&after_id={ids[0]}" if ids else None
    return {"page_details": {"prev_url": prev, "next_url": newer}, "transcripts": rows}


def test_the_walk_goes_from_newest_to_oldest_by_prev_url(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(page(["5", "4"], "4")).json(page(["3", "2"], "2")).json(page(["1"], None))
    assert [row.id for row in client.walk(status="completed", limit=2)] == ["5", "4", "3", "2", "1"]
    assert [request.query.get("before_id") for request in service.requests] == [None, ["4"], ["2"]]
    assert all(request.query["status"] == ["completed"] for request in service.requests)


def test_a_page_link_to_another_host_is_not_followed(service: ScriptedService, client: AssemblyAIClient) -> None:
    with ScriptedService() as elsewhere:
        elsewhere.json(page([], None))
        service.json(page(["2"], "2", base=elsewhere.url)).json(page(["1"], None))
        assert [row.id for row in client.walk()] == ["2", "1"]
        assert elsewhere.requests == []


def test_pages_that_run_in_a_circle_end_in_an_error(service: ScriptedService, client: AssemblyAIClient) -> None:
    service.json(page(["2"], "2")).json(page(["1"], "1")).json(page(["2"], "2"))
    with pytest.raises(InvalidReplyError, match="circle"):
        list(client.walk())


def test_a_page_whose_link_cannot_be_read_is_not_taken_for_the_last(
    service: ScriptedService, client: AssemblyAIClient
) -> None:
    broken = page(["2"], None)
    broken["page_details"] = {"prev_url": "https://api.assemblyai.com/v2/transcript?limit=2"}
    service.json(broken)
    with pytest.raises(InvalidReplyError, match="before_id"):
        list(client.walk())


@given(
    count=st.integers(0, 30),
    limit=st.integers(1, 7),
)
def test_the_walk_gives_every_row_once_in_order_whatever_the_page_size(count: int, limit: int) -> None:
    ids = [str(number) for number in range(count, 0, -1)]
    pages = [ids[start : start + limit] for start in range(0, count, limit)] or [[]]
    with ScriptedService() as service:
        for number, rows in enumerate(pages):
            service.json(page(rows, rows[-1] if number + 1 < len(pages) else None))
        client = AssemblyAIClient(KEY, base_url=service.url)
        assert [row.id for row in client.walk(limit=limit)] == ids
        client.close()
    assert len(service.requests) == len(pages)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
hostile_rows = st.fixed_dictionaries({}, optional={"id": json_values, "status": json_values, "created": json_values})


@given(
    reply=json_values
    | st.fixed_dictionaries(
        {"transcripts": json_values | st.lists(hostile_rows)},
        optional={"page_details": json_values | st.fixed_dictionaries({"prev_url": json_values})},
    )
)
def test_whatever_json_the_list_holds_the_answer_is_a_page_or_an_error_of_ours(reply: object) -> None:
    with ScriptedService() as service:
        service.json(reply)
        client = AssemblyAIClient(KEY, base_url=service.url, sleep=lambda _: None)
        with contextlib.suppress(AssemblyAIError):
            assert all(row.id for row in client.list())
        client.close()
