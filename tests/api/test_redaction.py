from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_asr.api.redaction import HIDDEN, excerpt, redact, redact_url

# What RFC 3986 lets stand in a query, a fragment, or (without the first ones) in user info. The apostrophe is left to
# a test of its own: it also ends a URL in Python's own way of showing one.
QUERY = "/?:@ABCXYZabcxyz0123456789-._~!$&()*+,;=%"
USER_INFO = "ABCXYZabcxyz0123456789-._~!$&()*+,;=%"
SECRET = "SECRETxSIGNATURE0"

schemes = st.sampled_from(["https", "http", "HTTPS", "s3", "gs", "wss", "git+ssh"])
hosts = st.sampled_from(["bucket.example", "127.0.0.1:8765", "[::1]", "[2001:db8::1]:8443", "xn--bcher-kva.example"])
paths = st.text(st.sampled_from("/abc.-_~%20()'ü日"), max_size=20).map(lambda text: "/" + text.replace("'", ""))


def around(alphabet: str) -> st.SearchStrategy[str]:
    """Text with the secret somewhere in it."""
    part = st.text(st.sampled_from(alphabet), max_size=15)
    return st.builds(lambda before, after: before + SECRET + after, part, part)


secret_urls = st.one_of(
    st.builds(lambda s, h, p, q: f"{s}://{h}{p}?{q}", schemes, hosts, paths, around(QUERY)),
    st.builds(lambda s, h, p, q: f"{s}://{h}{p}#{q}", schemes, hosts, paths, around(QUERY)),
    st.builds(lambda s, h, p, q: f"{s}://{h}{p}?x=1#{q}", schemes, hosts, paths, around(QUERY)),
    st.builds(lambda s, u, h, p: f"{s}://user:{u}@{h}{p}", schemes, around(USER_INFO), hosts, paths),
    st.builds(lambda s, u, h, p: f"{s}://{u}@{h}{p}", schemes, around(USER_INFO), hosts, paths),
    st.builds(lambda q: f"https://cdn.assemblyai.com/upload/{q}", around(USER_INFO)),
    st.builds(lambda q: f"https://cdn.eu.assemblyai.com/upload/{q}/more", around(USER_INFO)),
)
surroundings = st.text(max_size=30)
ends = st.sampled_from(["", " ", "\n", "'", '"', "<", ">", ")", ", ", ". ", "\t", "', '", '", "'])


@given(secret_urls, surroundings, surroundings, ends, ends)
def test_no_secret_part_of_a_url_survives_in_any_text(url: str, before: str, after: str, left: str, right: str) -> None:
    text = f"{before}{left}{url}{right}{after}"
    assert SECRET not in redact(text)
    assert SECRET not in excerpt(text)


@given(secret_urls)
def test_no_secret_part_of_a_url_survives_by_itself(url: str) -> None:
    assert SECRET not in redact_url(url)
    assert HIDDEN in redact_url(url) or "@" in url


@given(secret_urls, surroundings, surroundings)
def test_no_secret_part_of_a_url_survives_in_json_or_in_a_repr(url: str, before: str, after: str) -> None:
    value = {"error": f"{before} {url} {after}", "urls": [url], url: 1}
    assert SECRET not in redact(json.dumps(value))
    assert SECRET not in redact(json.dumps(value, separators=(",", ":")))
    assert SECRET not in redact(repr(value))


@given(st.text() | st.builds(lambda before, url, after: before + url + after, surroundings, secret_urls, surroundings))
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text(st.sampled_from("abc XYZ.,:;!()/\n")))
def test_text_without_anything_to_hide_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://bucket.example/a.wav", "https://bucket.example/a.wav"),
        ("https://bucket.example/a.wav?X-Amz-Signature=abc", "https://bucket.example/a.wav?[hidden]"),
        ("https://bucket.example/a.wav#t=10", "https://bucket.example/a.wav#[hidden]"),
        ("https://bucket.example?x", "https://bucket.example?[hidden]"),
        ("https://user:p@ss@bucket.example:8443/a.wav", "https://bucket.example:8443/a.wav"),
        ("https://cdn.assemblyai.com/upload/6c1c5b0f", "https://cdn.assemblyai.com/upload/[hidden]"),
        ("https://[::1]:8443/a.wav?x=1", "https://[::1]:8443/a.wav?[hidden]"),
        ("https://user@[::1]/a.wav", "https://[::1]/a.wav"),
        ("/data/upload/calls/a.wav", "/data/upload/calls/a.wav"),
        ("", ""),
    ],
)
def test_what_is_left_of_a_url_tells_which_file_it_is(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    if url.isascii():
        assert redact(f"before {url} after") == f"before {shown} after"


def test_an_apostrophe_inside_a_query_does_not_end_the_url() -> None:
    assert "secret" not in redact("https://bucket.example/a.wav?name=o'brien&sig2=secret")
    assert (
        redact("GET 'https://bucket.example/a.wav?x=1' failed") == "GET 'https://bucket.example/a.wav?[hidden]' failed"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Max retries exceeded with url: /a.wav?X-Amz-Algorithm=AWS4&X-Amz-Signature=SECRET&x=1",
        "/a.wav?X-Amz-Credential=SECRET",
        "/a.wav?x-amz-security-token=SECRET%2F",
        "/a.wav?X-Goog-Signature=SECRET",
        "/a.wav?se=2026&sig=SECRET%3D",
        "/a.wav?AWSAccessKeyId=SECRET",
        "/a.wav?Signature=SECRET",
        "?access_token=SECRET",
        "?token=SECRET",
        "api_key=SECRET",
        "cdn.assemblyai.com/upload/SECRET",
        "Authorization: SECRET",
        '"authorization": "SECRET"',
        "{'Authorization': 'SECRET', 'x': 1}",
        "authorization=SECRET",
        "Authorization: Bearer SECRET",
        "'Proxy-Authorization': 'Basic SECRET'",
    ],
)
def test_tokens_are_hidden_without_a_scheme_too(text: str) -> None:
    assert "SECRET" not in redact(text)


def test_what_is_beside_a_signature_stays_readable() -> None:
    assert redact("with url: /a.wav?sig=abc&part=2 (timed out)") == "with url: /a.wav?sig=[hidden]&part=2 (timed out)"


@given(surroundings, surroundings)
def test_a_key_is_hidden_wherever_it_stands(before: str, after: str) -> None:
    key = "0123456789abcdef0123456789abcdef"
    assert key not in redact(f"{before}{key}{after}", [key])
    assert key not in excerpt(f"{before}{key}{after}", [key])


def test_a_secret_too_short_to_be_one_does_not_blank_out_words() -> None:
    assert redact("a cat", ["a", ""]) == "a cat"


@given(st.text(), st.integers(1, 60))
def test_an_excerpt_is_one_line_and_not_too_long(text: str, longest: int) -> None:
    shown = excerpt(text, longest=longest)
    assert len(shown) <= longest
    assert shown == " ".join(shown.split())


@given(surroundings, secret_urls, st.integers(1, 200))
def test_a_cut_leaves_no_half_of_a_secret(before: str, url: str, longest: int) -> None:
    assert SECRET[:8] not in excerpt(f"{before} {url}", longest=longest)
