"""What can be the id of a transcript. It is a name in URLs, logs, XCom and the database, whoever made it."""

from __future__ import annotations

from typing import TypeGuard

_LONGEST = 200  # The service's have 36 characters.


def is_id(value: object) -> TypeGuard[str]:
    """Say whether it can be an id: one line of text that is not empty or very long, and can be a segment of a path."""
    return (
        isinstance(value, str)
        and len(value) <= _LONGEST
        and value.isprintable()  # Also false of a line break, and of half a character.
        and value.strip() not in ("", ".", "..")
    )
