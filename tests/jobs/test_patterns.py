"""Patterns mean what they mean in a shell, and nothing in them makes a mess of a regular expression."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_asr.api.errors import RequestError
from airflow_asr.jobs.patterns import is_audio, parse, to_regex

names = st.text("ab]-!^[\\.&|~\nA", max_size=6)


@given(st.text("ab*?[]-!^\\.&|~\n", max_size=8).filter(lambda pattern: "**" not in pattern), names)
@example("[z-a]", "z")
@example("[!]", "!")
@example("[]]", "]")
@example("[!]a]", "b")
@example("[[]", "[")
@example("[a-z-9]", "-")
@example("[\\]", "\\")
def test_a_pattern_of_one_name_is_that_of_the_standard_library(pattern: str, name: str) -> None:
    assert (re.fullmatch(to_regex(pattern), name, re.DOTALL) is not None) is fnmatch.fnmatchcase(name, pattern)


@given(
    st.lists(st.text("ab*?[]!", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.text("ab!", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_folders_are_compared_one_by_one(parts: list[str], names: list[str]) -> None:
    parts = [part.replace("**", "*") for part in parts]
    matches = re.fullmatch(to_regex("/".join(parts)), "/".join(names)) is not None
    # A set goes on over a slash, if nothing else closes it: no shell agrees with another on that.
    if not any("[" in part for part in parts):
        same = [fnmatch.fnmatchcase(name, part) for part, name in zip(parts, names, strict=False)]
        assert matches is (len(parts) == len(names) and all(same))


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("**/*.mp3", "a.mp3", True),
        ("**/*.mp3", "x/y/a.mp3", True),
        ("*.mp3", "x/a.mp3", False),
        ("a?b", "a/b", False),
        ("a[!x]b", "a/b", False),
        ("a**/b", "ab", False),
        ("a**/b", "a/x/b", True),
        ("x*/**", "x1/y/z.wav", True),
        ("*", "line\nbreak.wav", True),
    ],
)
def test_only_two_stars_go_into_folders(pattern: str, key: str, expected: bool) -> None:
    found = parse(f"/data/{pattern}")
    assert found is not None
    assert found.folder == "/data"
    assert found.matches(key) is expected


@given(st.lists(st.sampled_from(["a", "b1", "*", "b*", "**", "?"]), min_size=1, max_size=4))
def test_what_the_listing_is_spared_would_not_match(parts: list[str]) -> None:
    pattern = "/".join(parts)
    found = parse(f"/data/{pattern}")
    if found is None:
        assert not set("*?") & set(pattern)
        return
    for key in ("a", "b1", "b1/a", "a/b1/a", "b12/x/y/z", "z"):
        if found.matches(key):
            assert key.startswith(found.starts)
            assert found.depth is None or key.count("/") <= found.depth


def test_a_name_without_special_characters_is_none() -> None:
    assert parse("s3://calls@recordings/2026/a.wav") is None
    found = parse("s3://calls@recordings/2026/09-*/*.wav")
    assert found is not None
    assert (found.folder, found.starts, found.depth) == ("s3://calls@recordings/2026", "09-", 1)


@pytest.mark.parametrize("named", ["s3://conn@buck*", "s3://conn@buck*/a.wav", "s3://*/a.wav", "s3://[ab]/x"])
def test_a_bucket_is_no_pattern(named: str) -> None:
    with pytest.raises(RequestError, match="after the bucket"):
        parse(named)


def test_the_endings_of_audio() -> None:
    assert all(map(is_audio, ("a.MP3", "x/y.b.flac", "meeting.webm", "a.mxf")))
    assert not any(map(is_audio, ("a.txt", "mp3", "a.mp3.part", "x.wav/readme")))
