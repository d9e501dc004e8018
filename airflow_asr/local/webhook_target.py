"""The webhook parameters of ``POST /v2/transcript``: what they may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_asr.local.errors import ApiError

URL = "webhook_url"
HEADER_NAME = "webhook_auth_header_name"
HEADER_VALUE = "webhook_auth_header_value"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,1000}")
_VALUE = re.compile(r"[^\r\n]{1,1000}")


def check(sent: Mapping[str, Any]) -> None:
    """Refuse what the service documents as wrong.

    Args:
        sent: the parameters of a request that are not null; those of the webhook are known to be strings.

    Raises:
        ApiError: 400, naming the parameter.
    """
    url, name, value = (sent.get(parameter) for parameter in (URL, HEADER_NAME, HEADER_VALUE))
    if url is not None and not is_http_url(url):
        raise ApiError(f"Transcript creation error, {URL} must be an http:// or https:// URL")
    if (name is None) != (value is None):
        raise ApiError(f"Transcript creation error, {HEADER_NAME} and {HEADER_VALUE} need each other")
    if name is None or value is None:
        return
    if url is None:
        raise ApiError(f"Transcript creation error, {HEADER_NAME} and {HEADER_VALUE} need {URL}")
    if not _NAME.fullmatch(name):
        raise ApiError(
            f"Transcript creation error, {HEADER_NAME} must be 1 to 1000 ASCII letters, digits, hyphens and underscores"
        )
    if not _VALUE.fullmatch(value):
        # The value is a secret: it is not repeated.
        raise ApiError(f"Transcript creation error, {HEADER_VALUE} must be 1 to 1000 characters without line breaks")


def is_http_url(url: str) -> bool:
    """Whether a text is an absolute http or https URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # Raises if it is none.
    except ValueError:
        return False
    return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
