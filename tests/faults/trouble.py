"""A service that is reachable and unwell: three replies of ten are of no use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# How many of all requests end so.
BAD_REPLIES: tuple[tuple[float, Mapping[str, Any]], ...] = (
    (0.03, {"action": "answer", "status": 429, "headers": {"Retry-After": "1"}}),
    (0.05, {"action": "answer", "status": 429}),
    (0.05, {"action": "answer", "status": 500}),
    (0.05, {"action": "answer", "status": 502, "body": "<html>Bad Gateway</html>"}),
    (0.05, {"action": "answer", "status": 503}),
    (0.07, {"action": "drop"}),
)


def bad_replies() -> Iterator[dict[str, Any]]:
    """Return them as faults: see :mod:`airflow_asr.local.faults`."""
    for route in ("/v2/transcript/{id}", "/v2/transcript"):
        left = 1.0
        for share, fault in BAD_REPLIES:
            # A fault is asked whether it hits only if none before it did.
            yield {**fault, "method": "GET", "route": route, "times": None, "share": share / left}
            left -= share
