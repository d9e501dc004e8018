"""``GET /v2/transcript``: pages of the list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from airflow_asr.local import render
from airflow_asr.local.errors import ApiError
from airflow_asr.local.store import QUEUED, STATUSES, Filter, Row, Store

DEFAULT_LIMIT = 10
MAX_LIMIT = 200
REACH = timedelta(days=90)  # How far back the list goes.

_PARAMETERS = ("limit", "status", "created_on", "before_id", "after_id", "throttled_only")


@dataclass(frozen=True)
class _Query:
    limit: int
    wanted: Filter
    before: Row | None
    after: Row | None


def page(store: Store, query: Mapping[str, str], base_url: str, since: str | None = None) -> dict[str, Any]:
    """One page, newest first. ``prev_url`` leads to older transcripts, ``next_url`` to newer ones, as documented.

    Args:
        store: where the transcripts are.
        query: the parameters of the request.
        base_url: where the server is, for the URLs in the page.
        since: what was created before this time is not listed; None lists everything.

    Raises:
        ApiError: a parameter is none, or has a value that it cannot have.
    """
    asked = _parse(store, query, since)
    if asked.after is not None:
        rows = store.newer(asked.after.seq, asked.limit, asked.wanted)
    else:
        rows = store.older(asked.before.seq if asked.before else None, asked.limit, asked.wanted)
    has_older = bool(rows and store.older(rows[-1].seq, 1, asked.wanted))
    has_newer = bool(rows and store.newer(rows[0].seq, 1, asked.wanted))
    return {
        "page_details": {
            "limit": asked.limit,
            "result_count": len(rows),
            "current_url": _url(base_url, query, {}),
            "prev_url": _url(base_url, query, {"before_id": rows[-1].id}) if has_older else None,
            "next_url": _url(base_url, query, {"after_id": rows[0].id}) if has_newer else None,
        },
        "transcripts": [render.list_item(row, base_url) for row in rows],
    }


def _url(base_url: str, query: Mapping[str, str], cursor: Mapping[str, str]) -> str:
    kept = {name: value for name, value in query.items() if not cursor or name not in ("before_id", "after_id")}
    return f"{base_url}/v2/transcript?{urlencode({'limit': str(DEFAULT_LIMIT), **kept, **cursor})}"


def _parse(store: Store, query: Mapping[str, str], since: str | None) -> _Query:
    for name in query:
        if name not in _PARAMETERS:
            raise ApiError(f"{name!r} is not a parameter of GET /v2/transcript")
    before, after = (_cursor(store, name, query.get(name)) for name in ("before_id", "after_id"))
    if before is not None and after is not None:
        if after.seq <= before.seq:
            raise ApiError("'after_id' must be a newer transcript than 'before_id'")
        raise ApiError("before_id and after_id cannot be used together")
    status = _status(query.get("status"))
    if _boolean("throttled_only", query.get("throttled_only")):
        status = QUEUED  # It overrides the status, and throttled is what is queued.
    wanted = Filter(status, _day(query.get("created_on")), since)
    return _Query(_limit(query.get("limit")), wanted, before, after)


def _cursor(store: Store, name: str, transcript_id: str | None) -> Row | None:
    if transcript_id is None:
        return None
    row = store.get(transcript_id)
    if row is None:
        raise ApiError(f"Transcript lookup error, {name} not found")
    return row


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ApiError(f"limit must be a whole number from 1 to {MAX_LIMIT}, not {text!r}")
    return int(text)


def _status(text: str | None) -> str | None:
    if text is not None and text not in STATUSES:
        raise ApiError(f"status must be one of {', '.join(STATUSES)}, not {text!r}")
    return text


def _day(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ApiError(f"created_on must be a day like 2026-11-23, not {text!r}") from None


def _boolean(name: str, text: str | None) -> bool:
    if text is None:
        return False
    if text.lower() not in ("true", "false"):
        raise ApiError(f"{name} must be true or false, not {text!r}")
    return text.lower() == "true"
