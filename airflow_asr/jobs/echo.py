"""Tells from a transcript whether it was made with certain parameters, as far as the service repeats them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any


class Echo(Enum):
    """What a transcript says of the parameters that were sent."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"  # Not contradicted, but a parameter is not repeated.


# True unless a caller says otherwise.
_ON_BY_DEFAULT = frozenset({"punctuate", "format_text"})
# Set by the service itself, or by what goes with a parameter of another name.
_NOT_OURS = frozenset({"language_detection", "throttled", "webhook_auth", "is_deleted"})
# What the service keeps to itself, and what makes no other transcript.
_NEVER_SHOWN = frozenset({"webhook_auth_header_value"})
# Parameters that are no switches, and without which a transcript would be another.
_EMPTY_BY_DEFAULT = ("audio_start_from", "audio_end_at", "custom_spelling", "keyterms_prompt", "prompt", "webhook_url")


def echo_of(raw: Mapping[str, Any], config: Mapping[str, Any]) -> Echo:
    """Compare a transcript with the parameters of a submission.

    Args:
        raw: the service's reply.
        config: the parameters that were sent, without those that are ``None``.
    """
    for name, value in raw.items():
        if (
            name not in config
            and name not in _NOT_OURS
            and isinstance(value, bool)
            and value != (name in _ON_BY_DEFAULT)
        ):
            return Echo.OTHER
    if any(raw.get(name) for name in _EMPTY_BY_DEFAULT if name not in config):
        return Echo.OTHER
    shown = {name: value for name, value in config.items() if name not in _NEVER_SHOWN}
    if any(name in raw and not _same(name, raw[name], value) for name, value in shown.items()):
        return Echo.OTHER
    return Echo.SAME if shown.keys() <= raw.keys() else Echo.UNKNOWN


def _same(name: str, shown: Any, sent: Any) -> bool:
    if name == "language_code" and isinstance(shown, str) and isinstance(sent, str):
        # "en" may be shown as "en_us".
        return shown.partition("_")[0].lower() == sent.partition("_")[0].lower()
    return bool(_plain(shown) == _plain(sent))


def _plain(value: Any) -> Any:
    """Return a value without the differences that make none: order, and nothing, false, or empty."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if each not in (None, False, [], {})}
    if isinstance(value, list):
        return sorted((_plain(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value or None
