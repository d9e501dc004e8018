"""What was written for one audio: its fingerprint, its summary, and size and SHA-256 of each file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_asr.api.ids import is_id
from airflow_asr.jobs.files import read_json
from airflow_asr.jobs.results import TranscriptSummary

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

RECEIPT_VERSION = 1
OWN_FOLDER = "_asr"
"""The sub-folder of an output folder for what is no output."""


class FileRecord(TypedDict):
    """One file of a receipt."""

    name: str
    size: int
    sha256: str


class Receipt(TypedDict):
    """What was written for one audio."""

    v: int
    fingerprint: str | None
    summary: TranscriptSummary
    files: dict[str, FileRecord]


def read_receipt(path: UPath) -> Receipt | None:
    """Return a receipt; None if there is none, or none that can be read.

    Raises:
        OutputError: the storage cannot be asked.
    """
    try:
        receipt = read_json(path)
    except FileNotFoundError:
        return None
    if not _is_receipt(receipt):
        log.warning("%s is no receipt of this version; it is ignored.", path)
        return None
    return receipt  # type: ignore[no-any-return]


def _is_receipt(found: Any) -> bool:
    """Say whether it has the form of a receipt: what is in the folder may be damaged, or not ours."""
    if not isinstance(found, dict) or found.get("v") != RECEIPT_VERSION or "fingerprint" not in found:
        return False
    files, summary = found.get("files"), found.get("summary")
    return (
        isinstance(files, dict)
        and bool(files)
        and all(isinstance(each, dict) and each.keys() >= FileRecord.__required_keys__ for each in files.values())
        and isinstance(summary, dict)
        and summary.keys() >= TranscriptSummary.__required_keys__
        and is_id(summary["transcript_id"])
        and isinstance(summary["audio"], str | None)
    )
