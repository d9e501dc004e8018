"""What a service that is broken, taken over, or not the service at all may answer."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", " ", "\0", "\ud800", "a\r\nX-Evil: 1", "../../etc/passwd", "http://[", "://", "now", "é" * 300, "nan"]
)
"""Text with what UTF-8, headers, paths and databases do not take."""

numbers = (
    st.integers()
    | st.floats()  # The parser takes NaN and Infinity, too.
    | st.sampled_from([10**400, -(10**400), 2**63, -0.0, 1e308])
)

anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
"""Any JSON."""


def _perhaps(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there: a reply in which everything is wrong is refused before it is read."""
    return st.one_of(right, right, anything)


_said = {
    "text": _perhaps(st.sampled_from(["Yes.", "mr", "终。", ""])),
    "start": _perhaps(st.integers(0, 5000)),
    "end": _perhaps(st.integers(0, 5000)),
    "confidence": _perhaps(st.floats(0, 1)),
    "speaker": _perhaps(st.sampled_from("AB")),
    "channel": _perhaps(st.sampled_from(["1", 2])),
}
_words = _perhaps(st.lists(_perhaps(st.fixed_dictionaries({}, optional=_said)), max_size=4))
_id = _perhaps(st.sampled_from(["t-1", "t-2"]))
_status = _perhaps(st.sampled_from(["queued", "processing", "completed", "error"]))
_error = _perhaps(st.sampled_from(["", "Download error to https://h.example/a?X-Amz-Signature=abc", "No spoken audio"]))

transcripts = st.fixed_dictionaries(
    {"id": _id, "status": _status},
    optional={
        "error": _error,
        "audio_url": _perhaps(st.just("https://h.example/a.wav?X-Amz-Signature=abc")),
        "text": _perhaps(st.just("Yes. No.")),
        "audio_duration": _perhaps(st.integers(0, 9)),
        "confidence": _perhaps(st.floats(0, 1)),
        "language_code": _perhaps(st.just("en_us")),
        "speech_model_used": _perhaps(st.just("universal")),
        "words": _words,
        "utterances": _perhaps(
            st.lists(_perhaps(st.fixed_dictionaries({}, optional={**_said, "words": _words})), max_size=3)
        ),
    },
)
"""Replies that are nearly transcripts."""

_row = st.fixed_dictionaries(
    {"id": _id, "status": _status, "created": _perhaps(st.just("2026-06-10T15:38:19.123723"))},
    optional={"completed": _perhaps(st.just("2026-06-10T15:39:19Z")), "error": _error, "audio_url": texts | anything},
)
_links = st.sampled_from(
    ["https://evil.example/v2/transcript?before_id=t-1", "//evil.example?before_id=", "?before_id=a&before_id=b"]
) | texts.map(lambda text: f"https://evil.example/?before_id={text}")
pages = st.fixed_dictionaries(
    {"transcripts": _perhaps(st.lists(_perhaps(_row), max_size=3))},
    optional={"page_details": _perhaps(st.fixed_dictionaries({"prev_url": _perhaps(_links)}))},
)
"""Replies that are nearly pages of the list."""

others = st.fixed_dictionaries(
    {},
    optional={
        "upload_url": _perhaps(st.just("https://cdn.example/upload/1")),
        "redacted_audio_url": _perhaps(st.just("https://cdn.example/redacted/1")),
        "error": _error,
        "sentences": _perhaps(st.lists(st.fixed_dictionaries({}, optional={**_said, "words": _words}), max_size=2)),
        "matches": anything,
    },
)
"""Replies that are nearly those of the other endpoints."""

any_reply = anything | transcripts | pages | others

statuses = st.sampled_from([200, 200, 200, 201, 202, 206, 301, 307, 400, 401, 402, 403, 404, 422, 429, 500, 503, 999])

_header_texts = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["text/html; charset=idna", "text/plain; charset=undefined", "x; charset=hex"])
        | _header_texts,
        "Date": st.sampled_from(
            ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +1400", "Mon, 1 Jan 2026 00:00:00 +9999999999"]
        )
        | _header_texts,
        "Retry-After": st.sampled_from(["1e400", "nan", "-5", "Fri, 31 Dec 9999 23:59:59 -9999"]) | _header_texts,
        "Location": st.sampled_from(["http://[::1", "//", "http://evil.example/\xff", "http:///x", "\xe9://"])
        | _header_texts,
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "x-none"]),
        "Set-Cookie": _header_texts,
    },
)
"""Headers of a reply. A status line and a body go with them, so no line may break."""
