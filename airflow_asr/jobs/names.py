"""Names for output files: every storage takes them, and two audios never share one."""

from __future__ import annotations

import hashlib
import re

from airflow_asr.api.redaction import INVISIBLE

_NAME_BYTES = 160  # File systems allow 255; a hash, an extension and a temporary file's mark come on top.
_HASH_DIGITS = 10
# What some storage or shell gives a meaning of its own, and what nobody can see.
_UNSAFE = re.compile(rf"[{INVISIBLE} /\\:*?\"<>|#%]+")
# Windows, and every share that it serves, takes them for devices, whatever comes after a dot.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9¹²³])(?:\.|$)", re.IGNORECASE)


def output_name(name: str, location: str) -> str:
    """Return the beginning of the names of an audio's outputs; two audios never share it.

    Args:
        name: the audio's file name.
        location: where the audio is. Its hash tells ``a.wav`` of one folder from ``a.wav`` of another.
    """
    digits = hashlib.sha256(location.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{safe_name(name)}.{digits}"


def safe_name(name: str) -> str:
    """Return a file name that every storage takes: no separators, nothing invisible, not hidden, not too long."""
    safe = _UNSAFE.sub("_", name).strip("_")
    if safe.startswith("."):
        safe = "_" + safe.lstrip(".")
    if _DEVICE.match(safe):
        safe = "_" + safe
    return safe.encode()[:_NAME_BYTES].decode(errors="ignore") or "_"
