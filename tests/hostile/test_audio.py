"""Whatever is uploaded to the local server: the job ends, and the next one works."""

from __future__ import annotations

import io
import json
import struct
import wave
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_asr.local.testing import LocalServer, scripted_audio
from tests.hostile import replies
from tests.local.http import Http

FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
LONG_S = 90.0


@pytest.fixture(scope="module")
def echo() -> Iterator[Http]:
    with LocalServer(concurrency=2) as server, Http(server) as http:
        yield http
        assert "Traceback" not in server.log
        assert http.heard("Still here.")["text"] == "Still here."


@pytest.fixture(scope="module")
def whisper() -> Iterator[Http]:
    pytest.importorskip("faster_whisper")
    with LocalServer(engine="whisper", concurrency=1) as server, Http(server) as http:
        yield http
        assert "Traceback" not in server.log


def ended(http: Http, audio: bytes, **config: object) -> dict[str, object]:
    body = http.wait(http.submit(audio, **config)["id"], seconds=LONG_S)
    if body["status"] == "error":
        assert "Internal server error" not in body["error"], http.server.log
    for part in ("sentences", "paragraphs", "srt", "vtt", "word-search?words=a"):
        assert http.get(f"/v2/transcript/{body['id']}/{part}").status_code in (200, 400)
    return body


def riff(*, channels: int, rate: int, bits: int, data: bytes, size: int | None = None) -> bytes:
    """A WAV file whose header says what it likes."""
    block = channels * bits // 8 % 65536
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * block % 2**32, block, bits)
    said = len(data) if size is None else size
    return (
        b"RIFF"
        + struct.pack("<I", (36 + said) % 2**32)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + (struct.pack("<I", said) + data)
    )


def tone(seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(b"\x00\x20\x00\xe0" * int(seconds * 8_000))
    return file.getvalue()


HEADS = [
    b"",
    b"RIFF",
    b"ID3\x04",
    b"fLaC",
    b"OggS",
    b"\x1aE\xdf\xa3",
    b"\x00\x00\x00\x18ftypM4A ",
    b"\xff\xfb",
    b"#EXTM3U\n",
]
LYING_WAVS = [
    riff(channels=1, rate=1, bits=16, data=b"\x01\x02" * 40_000),
    riff(channels=1, rate=0, bits=16, data=b"\x01\x02" * 400),
    riff(channels=1, rate=2**31, bits=16, data=b"\x01\x02" * 400),
    riff(channels=0, rate=16_000, bits=16, data=b"\x01\x02" * 400),
    riff(channels=255, rate=16_000, bits=16, data=b"\x01\x02" * 4000),
    riff(channels=65_535, rate=16_000, bits=16, data=b"\x01\x02" * 4000),
    riff(channels=1, rate=16_000, bits=0, data=b"\x01\x02" * 400),
    riff(channels=1, rate=16_000, bits=16, data=b"\x01\x02" * 400, size=2**32 - 1),
    riff(channels=2, rate=8_000, bits=24, data=b"\x01"),
    tone()[:60],
    tone()[:44],
    tone()[:20] + tone(),
]
PLAYLISTS = [
    b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
]
WEIRD_SCRIPTS = [
    {"error": {"a": 1}},
    {"error": 5},
    {"error": ""},
    {"error": "x" * 100_000},
    {"language_code": []},
    {"language_code": "x" * 10_000},
    {"language_confidence": "high"},
    {"text": "\0 \u202e \x1b[31m"},
    {"text": "a" * 200_000},
    {"text": 7},
    {"channels": {}},
    {"channels": ["a"] * 1000},
    {"seconds": 0},
    {"seconds": 1e-300, "text": "a b c"},
    {"seconds": 9_999_999, "text": "a"},
    {"process_s": -1},
    [],
    None,
]


@FEW
@given(
    audio=st.binary(min_size=1, max_size=300) | st.tuples(st.sampled_from(HEADS), st.binary(min_size=1)).map(b"".join)
)
def test_any_bytes_end_and_the_next_job_works(echo: Http, audio: bytes) -> None:
    assert ended(echo, audio)["status"] in ("completed", "error")
    assert ended(echo, scripted_audio("Next.", process_s=0))["text"] == "Next."


@FEW
@given(
    script=st.dictionaries(
        st.sampled_from(["text", "channels", "seconds", "error", "language_code", "language_confidence", "x"]),
        replies.anything,
    )
)
@example(script={"language_code": {"a": 1}})
@example(script={"seconds": 10**400})
def test_any_script_ends_and_the_next_job_works(echo: Http, script: dict[str, object]) -> None:
    body = ended(echo, json.dumps({"echo": {"process_s": 0, **script}}).encode())
    assert isinstance(body.get("language_code", ""), str)
    assert ended(echo, scripted_audio("Next.", process_s=0))["text"] == "Next."


@pytest.mark.parametrize("script", WEIRD_SCRIPTS, ids=lambda script: str(script)[:30])
def test_a_strange_script_ends(echo: Http, script: object) -> None:
    body = ended(echo, json.dumps({"echo": script}).encode(), multichannel=True)
    assert isinstance(body.get("error") or "", str)


@pytest.mark.speech
@pytest.mark.parametrize("audio", [*LYING_WAVS, *PLAYLISTS], ids=range(len(LYING_WAVS) + len(PLAYLISTS)))
def test_a_header_that_lies_does_not_end_the_recogniser(whisper: Http, audio: bytes) -> None:
    body = ended(whisper, audio)
    assert "root:" not in json.dumps(body)
    assert ended(whisper, tone())["status"] == "completed"


@pytest.mark.speech
@settings(max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    audio=st.tuples(st.sampled_from([*HEADS, *LYING_WAVS, tone(0.2)]), st.binary(min_size=1, max_size=2000)).map(
        b"".join
    )
)
def test_any_bytes_do_not_end_the_recogniser(whisper: Http, audio: bytes) -> None:
    assert ended(whisper, audio)["status"] in ("completed", "error")


# Requests ------------------------------------------------------------------------------------------------------------

_segments = st.text(max_size=20).map(lambda text: quote(text, safe="")) | st.sampled_from(
    ["..", "%2e%2e", "%00", "%ff", "%ed%a0%80", "a" * 3000, "%2F", ";", "'", '"', "%", "%zz", "\\"]
)
_paths = st.lists(
    st.sampled_from(["v2", "transcript", "upload", "sentences", "srt", "redacted-audio", "word-search", "_faults"])
    | _segments,
    max_size=4,
).map(lambda parts: "/" + "/".join(parts))
_queries = st.dictionaries(
    st.sampled_from(
        [
            "limit",
            "status",
            "created_on",
            "before_id",
            "after_id",
            "chars_per_caption",
            "words",
            "throttled_only",
            "sig",
        ]
    )
    | st.text(max_size=5),
    st.text(max_size=20) | st.sampled_from(["9" * 5000, "-1", "٣", "²", "\0", "2026-02-30", "1e3", "null"]),
    max_size=3,
)


@FEW
@given(method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD"]), path=_paths, query=_queries, body=st.binary())
@example("GET", "/v2/transcript/{known}/srt", {"chars_per_caption": "9" * 5000}, b"")
@example("GET", "/v2/transcript", {"limit": "9" * 5000}, b"")
@example("POST", "/v2/transcript", {}, b"[" * 100_000)
@example("POST", "/v2/transcript", {}, b'{"audio_url": ' + b"9" * 5000 + b"}")
@example("POST", "/v2/transcript", {}, b'{"audio_url": "http://h/\\ud800"}')
@example("POST", "/_clock", {}, b'{"forward_s": 1e999}')
@example("POST", "/_faults", {}, b'{"method": [], "route": {}, "action": 1}')
def test_any_request_is_answered_and_never_with_a_500(
    echo: Http, method: str, path: str, query: dict[str, str], body: bytes
) -> None:
    if "{known}" in path:
        path = path.format(known=echo.heard()["id"])
    response = echo.call(method, path, params=query, data=body)
    assert response.status_code < 500, (response.text, echo.server.log[-2000:])
    if method == "DELETE" and path.startswith("/_faults"):
        echo.server.clear_faults()


@pytest.mark.parametrize("fields", [{"audio_url": "http://[::1"}, {"audio_url": "http://h/\udc80"}])
def test_a_url_that_is_none_is_refused(echo: Http, fields: dict[str, str]) -> None:
    response = echo.call("POST", "/v2/transcript", data=json.dumps(fields).encode())
    assert response.status_code == 400


_parameters = st.dictionaries(
    st.sampled_from(
        [
            *("webhook_url", "webhook_auth_header_name", "webhook_auth_header_value", "audio_start_from"),
            *("audio_end_at", "language_code", "custom_spelling", "keyterms_prompt", "redact_pii"),
            *("redact_pii_policies", "speech_models", "multichannel"),
        ]
    ),
    replies.anything,
)


@FEW
@given(parameters=_parameters)
def test_any_parameter_is_served_or_refused(echo: Http, upload: str, parameters: dict[str, object]) -> None:
    response = echo.call("POST", "/v2/transcript", data=json.dumps({**parameters, "audio_url": upload}).encode())
    assert response.status_code in (200, 400), (response.text, echo.server.log[-2000:])


@pytest.fixture(scope="module")
def upload(echo: Http) -> str:
    return echo.upload(scripted_audio("Hello there.", process_s=0))
