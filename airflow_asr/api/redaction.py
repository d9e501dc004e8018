"""Takes what grants access out of text that people and databases will see.

A signed URL, an upload URL and the API key are all bearer tokens: whoever reads them in a log can use them.
Every message, log line and repr of this package passes through here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "[hidden]"

# A URL ends at white space, a quote or an angle bracket. Commas and full stops may end a sentence as well as continue a
# URL, and careless clients leave brackets and bars unescaped: taking them into the match only hides more. So does an
# apostrophe, which a URL may hold, where the URL seems to go on after it. A scheme is short, because a text of one long
# word would be searched to its end from each of its letters.
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,30}://(?:[^\s\"'<>\x00-\x1f]|'(?=[\w%&=~+/-]))+", re.IGNORECASE)
_UPLOAD = re.compile(r"(?P<name>/upload/)[^?#]+", re.IGNORECASE)
# Without a scheme, as in "Max retries exceeded with url: /a.wav?X-Amz-Signature=…".
_SIGNATURE = re.compile(
    r"(?P<name>\b(?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|awsaccesskeyid|"
    r"googleaccessid|access_token|token|api_key)=)[^&\s\"'<>]+",
    re.IGNORECASE,
)
_BARE_UPLOAD = re.compile(r"(?P<name>\bcdn(?:\.eu)?\.assemblyai\.com/upload/)[^\s\"'<>?#\x00-\x1f]+", re.IGNORECASE)
_AUTHORIZATION = re.compile(
    r"(?P<name>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|digest|token)\s+)?)[^\s\"',}]+", re.IGNORECASE
)
# Control characters, halves of characters, and marks that turn or hide the text around them.
INVISIBLE = r"\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
"""What no name and no message may hold, as part of a set in a regular expression."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_LONGEST_EXCERPT = 400
_SHORTEST_SECRET = 8  # A shorter "secret", like the local server's key "local", would blank out ordinary words.


def redact_url(url: str) -> str:
    """Return the URL without user info, query, fragment and, for an upload URL, without its last part.

    >>> redact_url("https://user:pw@bucket.example/a.wav?X-Amz-Signature=abc")
    'https://bucket.example/a.wav?[hidden]'
    >>> redact_url("https://cdn.assemblyai.com/upload/6c1c5b0f")
    'https://cdn.assemblyai.com/upload/[hidden]'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    place, mark, _ = rest.partition(next((char for char in rest if char in "?#"), "?"))
    authority, slash, path = place.partition("/")
    authority = authority.rpartition("@")[2]
    shown = _UPLOAD.sub(rf"\g<name>{HIDDEN}", slash + path)
    return f"{scheme}://{authority}{shown}" + (f"{mark}{HIDDEN}" if mark else "")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with URLs cut by :func:`redact_url` and every one of ``secrets`` replaced.

    Args:
        text: anything that is about to be shown, logged, raised or stored.
        secrets: strings that must not appear, such as the API key.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    text = _URL.sub(lambda match: redact_url(match.group(0)), text)
    for pattern in (_BARE_UPLOAD, _SIGNATURE):
        text = pattern.sub(rf"\g<name>{HIDDEN}", text)
    return _AUTHORIZATION.sub(rf"\g<name>{HIDDEN}", text)


def excerpt(text: str, secrets: Iterable[str] = (), *, longest: int = _LONGEST_EXCERPT) -> str:
    """Return at most ``longest`` characters of redacted text, on one line.

    The text is redacted before it is cut, so that a cut cannot leave half of a secret that is no longer recognised.
    """
    line = visible(" ".join(redact(text, secrets).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def visible(text: str) -> str:
    """Return a text in which everything can be seen: a terminal does not obey it, and no log line is forged by it."""
    return _INVISIBLE.sub("\ufffd", text)
