"""The one exception that becomes an HTTP reply."""

from __future__ import annotations

TRANSCRIPT_NOT_FOUND = "Transcript lookup error, transcript id not found"


class ApiError(Exception):
    """A request that is refused; ``message`` is sent as ``{"error": message}``."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
