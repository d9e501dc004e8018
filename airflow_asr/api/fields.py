"""Fields of the service's JSON. What is not of the type that it should be counts as left out, like ``null``."""

from __future__ import annotations

from typing import Any

# Beyond it a float skips whole numbers, and no sum of what stays within ends in an overflow.
_LEAST, _MOST = -(2**53), 2**53


def text(value: object) -> str | None:
    """Return a text."""
    return value if isinstance(value, str) else None


def number(value: object) -> Any:
    """Return a number, whole or not; it is finite."""
    return value if (type(value) is int or type(value) is float) and _LEAST <= value <= _MOST else None


def name(value: object) -> str | None:
    """Return the name of a speaker or a channel, which may be written as a number; an empty one is none."""
    if value is None or isinstance(value, str):
        return value or None
    return str(value) if type(value) is int and number(value) is not None else None
