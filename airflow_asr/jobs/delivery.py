"""How audio reaches the service."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Delivery:
    """A URL that the service can fetch.

    Attributes:
        url: the URL; it may grant access, and is kept out of the repr.
        uploaded: whether it is an upload of ours, which only keys of the same project can use.
    """

    url: str = field(repr=False)
    uploaded: bool
