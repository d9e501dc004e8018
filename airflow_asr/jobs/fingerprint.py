"""What tells one job from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from airflow_asr.api.errors import RequestError


def fingerprint(base_url: str, audio: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return what tells one job from another: the service, the audio's identity and the parameters.

    The key is not in it, so that changing the key does not make the same job a new one.
    """
    canonical = json.dumps(
        {"base_url": base_url, "audio": audio, "config": config}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def checked_config(config: object) -> dict[str, Any]:
    """Return the parameters to send: those whose value is not ``None``.

    Raises:
        RequestError: it is not a dict, holds what JSON cannot, or names the audio.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise RequestError(f"`config` must be a dict of parameter names to values; got {type(config).__name__}.")
    sent = {name: value for name, value in config.items() if value is not None}
    try:
        json.dumps(sent, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"`config` cannot be sent as JSON: {error}.") from None
    return sent
