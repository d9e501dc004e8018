"""Writes a transcript's outputs so that nothing half written is ever visible, and finds them again.

Beside the outputs, in ``_asr``, lies a receipt for each audio: its fingerprint, its summary, and size and SHA-256 of
each file. It is written last, so what it names is complete; while it is there and the audio has not changed, nothing is
paid or asked again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_asr.api.client import AssemblyAIClient
from airflow_asr.api.errors import InvalidReplyError, OutputError, RequestError
from airflow_asr.api.redaction import redact_url
from airflow_asr.api.transcript import Transcript
from airflow_asr.jobs.files import unreadable, write_file
from airflow_asr.jobs.names import safe_name
from airflow_asr.jobs.open_jobs import OpenJobs
from airflow_asr.jobs.receipts import OWN_FOLDER, RECEIPT_VERSION, FileRecord, Receipt, read_receipt
from airflow_asr.jobs.results import TranscriptSummary, fitting
from airflow_asr.jobs.storage import storage_errors

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

EXTENSIONS = {
    "json": "json",
    "txt": "txt",
    "srt": "srt",
    "vtt": "vtt",
    "sentences": "sentences.json",
    "paragraphs": "paragraphs.json",
}
"""The formats that can be written, and the ends of their files' names."""

_WRITABLE = "_writable"
_LONGEST_FOLDER = 1500  # As JSON. Each output's URI begins with it.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def checked_formats(formats: object) -> tuple[str, ...]:
    """Return the formats.

    Raises:
        RequestError: one of them does not exist, or there is none.
    """
    wanted = (formats,) if isinstance(formats, str) else formats
    if not isinstance(wanted, Sequence) or not wanted or not all(isinstance(each, str) for each in wanted):
        raise RequestError(f"`formats` must be a list of names; got {formats!r}. There are: {', '.join(EXTENSIONS)}.")
    unknown = [each for each in wanted if each not in EXTENSIONS]
    if unknown:
        raise RequestError(f"`formats` has no {', '.join(unknown)}. There are: {', '.join(EXTENSIONS)}.")
    return tuple(dict.fromkeys(wanted))


@dataclass(frozen=True)
class Outputs:
    """The outputs of one audio in one folder.

    Args:
        folder: where they go; on the local disk it is made when it is missing.
        base: the beginning of their names.
        formats: those that are wanted.
        owner: names the task instance that writes them, in letters and digits.
    """

    folder: UPath
    base: str
    formats: tuple[str, ...]
    owner: str = ""

    def uris(self) -> dict[str, str]:
        """Return where each output is, or will be."""
        return {each: str(self._path(each)) for each in self.formats}

    @property
    def open_jobs(self) -> OpenJobs:
        """The submissions whose outputs are not here yet."""
        return OpenJobs(self.own_folder, self.owner)

    @property
    def own_folder(self) -> UPath:
        """The sub-folder for what is no output."""
        return self.folder / OWN_FOLDER

    def receipt(self, fp: str) -> Receipt | None:
        """Return what was written for this very input before, as far as it is still there; None if nothing was."""
        receipt = read_receipt(self._receipt_path())
        if receipt is None or receipt["fingerprint"] != fp:
            return None
        return receipt

    def complete(self, receipt: Receipt) -> TranscriptSummary | None:
        """Return the summary if each wanted output is there in its recorded size, else None."""
        for each in self.formats:
            file = receipt["files"].get(each)
            if file is None or size_of(self._path(each)) != file["size"]:
                return None
        return fitting({**receipt["summary"], "outputs": self.uris()})

    def check_writable(self) -> None:
        """Write something small, so that storage that takes nothing is known before money is spent.

        Raises:
            OutputError: nothing can be written there.
        """
        try:
            write_file(self.folder / OWN_FOLDER / _WRITABLE, b"")
        except OutputError as error:
            raise OutputError(f"{error} Nothing was submitted, and nothing paid for.") from None

    def write(
        self, client: AssemblyAIClient, transcript: Transcript, summary: TranscriptSummary, *, fp: str | None
    ) -> Receipt:
        """Write all outputs, then the receipt, which keeps the summary; return the receipt.

        Writing again gives the same bytes. Captions, sentences and paragraphs are asked of the service.

        Raises:
            OutputError: the storage does not take them. The message names the transcript, which is paid for.
            AssemblyAIError: the service does not give them.
        """
        files: dict[str, FileRecord] = {}
        for each in self.formats:
            data = _RENDER[each](client, transcript)
            path = self._path(each)
            self._put(path, data, transcript.id)
            files[each] = FileRecord(name=path.name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        earlier = self.receipt(fp) if fp else None
        if earlier is not None and earlier["summary"]["transcript_id"] == transcript.id:
            files = {**earlier["files"], **files}
        receipt = Receipt(v=RECEIPT_VERSION, fingerprint=fp, summary=summary, files=files)
        self._put(self._receipt_path(), _json(receipt), transcript.id)
        return receipt

    def _put(self, path: UPath, data: bytes, transcript_id: str) -> None:
        try:
            write_file(path, data)
        except OutputError as error:
            raise OutputError(
                f"Transcript {transcript_id} is complete and paid for, but {error} A retry writes it and pays nothing; "
                "so does AssemblyAIFetchTranscriptOperator with this id.",
                transcript_id=transcript_id,
            ) from None

    def _path(self, output_format: str) -> UPath:
        return self.folder / f"{self.base}.{EXTENSIONS[output_format]}"

    def _receipt_path(self) -> UPath:
        return self.folder / OWN_FOLDER / f"{self.base}.json"


def output_folder(output_path: object, open_path: Callable[[str], UPath], *, partition: str | None = None) -> UPath:
    """Return the folder that the user named, and in it that of the run's partition, if there is one.

    Args:
        output_path: an absolute local path or an object storage URI.
        open_path: makes a path of a URI.
        partition: the key of the run's partition. Nothing is added for it if it is part of the path already.

    Raises:
        RequestError: it is neither.
        ServiceError: the storage cannot be reached.
    """
    named = str(output_path).strip()
    scheme = _SCHEME.match(named)
    kind = scheme[1].lower() if scheme else "file"
    local = named[scheme.end() if scheme else 0 :] if kind in ("file", "local") else None
    if local is not None and not local.startswith("/"):
        raise RequestError(
            f"`output_path` {named!r} is not absolute. Give a whole path, such as /data/transcripts, or an object "
            "storage URI, such as s3://conn_id@bucket/transcripts."
        )
    if kind in ("http", "https"):
        raise RequestError(f"`output_path` {named!r}: nothing can be written there. Give a path or a storage URI.")
    with storage_errors(f"`output_path` {named!r}", kind if scheme else ""):
        # More than one slash in front would be taken for a path in the folder that the worker happens to run in.
        folder = open_path(named if local is None else f"file:///{local.lstrip('/')}")
        folder.fs  # noqa: B018  makes the connection: storage must not be reached by somebody else's credentials
    if partition and partition not in named.split("/"):
        folder = folder / safe_name(partition)
    if len(json.dumps(str(folder))) > _LONGEST_FOLDER:
        raise RequestError(
            f"`output_path` is too long: {len(str(folder))} characters. The names of the outputs go into XCom, whose "
            f"entries stay under 16 KB: give a folder of at most {_LONGEST_FOLDER} bytes as JSON."
        )
    return folder


def verify_summary(summary: Mapping[str, Any], open_path: Callable[[str], UPath]) -> str:
    """Check that everything a summary promises is in storage, whole; return the transcript's id.

    Raises:
        RequestError: it names no outputs.
        OutputError: one of them is missing or is not what was written.
    """
    transcript_id, outputs = summary.get("transcript_id"), summary.get("outputs")
    if not isinstance(transcript_id, str) or not transcript_id or not isinstance(outputs, Mapping):
        raise RequestError(
            "This is no summary of a transcript. Give what a transcribe or fetch task returned, or an id."
        )
    if not outputs:
        raise RequestError(
            f"The summary of transcript {transcript_id} names no outputs, so its words would be lost. Write them with "
            "`output_path` first, or give the id itself to delete it all the same.",
            transcript_id=transcript_id,
        )
    verify(outputs, open_path)
    return transcript_id


def verify(outputs: Mapping[str, str], open_path: Callable[[str], UPath]) -> None:
    """Check that each output is whole, by its receipt.

    Args:
        outputs: format to URI, as in a summary.
        open_path: makes a path of a URI.

    Raises:
        OutputError: one is missing, cannot be read, or is not what was written.
    """
    for output_format, uri in outputs.items():
        path = open_path(uri)
        base = path.name.removesuffix(f".{EXTENSIONS.get(output_format, output_format)}")
        receipt = read_receipt(path.parent / OWN_FOLDER / f"{base}.json")
        file = receipt["files"].get(output_format) if receipt else None
        if file is None:
            raise OutputError(f"{uri} has no receipt, so nobody can tell whether it is whole.")
        try:
            data = path.fs.cat_file(path.path)
        except Exception as error:
            raise unreadable(path, error) from None
        if hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise OutputError(f"{uri} is not what was written there: its SHA-256 differs from its receipt's.")


def size_of(path: UPath) -> int | None:
    """Return the size of a file in bytes; None if there is none.

    Raises:
        OutputError: the storage cannot be asked.
    """
    try:
        return int(path.fs.info(path.path)["size"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        raise unreadable(path, error) from None


def _reply(transcript: Transcript) -> Mapping[str, Any]:
    """Return the service's whole reply, but for what grants access: readers of text may not be those of the audio."""
    url = transcript.audio_url
    return {**transcript.raw, "audio_url": redact_url(url)} if url and "?" in url else transcript.raw


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
    except RecursionError:
        raise InvalidReplyError("The service's reply is nested too deep to be written.") from None


_RENDER: dict[str, Callable[[AssemblyAIClient, Transcript], bytes]] = {
    "json": lambda _, transcript: _json(_reply(transcript)),
    "txt": lambda _, transcript: f"{transcript.text}\n".encode("utf-8", "replace"),
    "srt": lambda client, transcript: client.subtitles(transcript.id, "srt").encode(),
    "vtt": lambda client, transcript: client.subtitles(transcript.id, "vtt").encode(),
    "sentences": lambda client, transcript: _json(client.sentences(transcript.id)),
    "paragraphs": lambda client, transcript: _json(client.paragraphs(transcript.id)),
}
