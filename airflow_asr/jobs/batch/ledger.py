"""The ledger of a batch: objects under the output folder, each written once.

In ``_asr/open``, beside the open jobs of single recordings, lies an object for each *window*: up to 25 jobs that are
about to be sent, and after them one or more objects with what became of them. They go when all of the window's jobs
have ended. In ``_asr/batch/<owner>`` lie the *parts* of the plan and of the manifest.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from airflow_asr.api.errors import OutputError
from airflow_asr.api.fields import number
from airflow_asr.api.ids import is_id
from airflow_asr.jobs.files import names_in, read_json, remove, unreadable, write_file

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

WINDOW_JOBS = 25
_VERSION = 1
_WINDOW = ".window.json"
_NEWS = ".news.json"


class Job(TypedDict):
    """A recording that is about to be sent, as the ledger keeps it. It holds no URL that can be fetched.

    Attributes:
        fp: the fingerprint of service, audio and parameters.
        audio: the name of the audio, to be shown.
        base: the beginning of the names of its outputs.
        entry: makes the audio again.
        url_sha256: hash of the URL that is sent.
        shared_url: others may have sent the very same URL.
        intent_at: when it is sent, by the service's clock.
        account: a short hash of base URL and key.
        prior: transcripts of this input that ended without a result.
        unmatched: the service repeats another URL than was sent.
    """

    fp: str
    audio: str
    base: str
    entry: dict[str, Any]
    url_sha256: str
    shared_url: bool
    intent_at: float
    account: str
    prior: list[str]
    unmatched: NotRequired[bool]


@dataclass
class Window:
    """Jobs that were announced together.

    Attributes:
        name: what its objects are called.
        jobs: in their order.
        ids: the transcript of each job that is known to have one, by fingerprint.
        rejected: fingerprints of those that surely were not sent, or not accepted.
        news: the names of the objects that say so.
    """

    name: str
    jobs: Sequence[Job]
    ids: dict[str, str] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)
    news: list[str] = field(default_factory=list)


class Ledger:
    """The objects of one output folder.

    Args:
        folder: the output folder's own sub-folder for what is no output.
        owner: names the task instance, in letters and digits.
    """

    def __init__(self, folder: UPath, owner: str) -> None:
        self._open = folder / "open"
        self._parts = folder / "batch" / owner
        self._owner = owner

    # Windows -------------------------------------------------------------------------------------------------------

    def announce(self, name: str, jobs: Sequence[Job]) -> Window:
        """Write a window before anything of it is sent.

        Raises:
            OutputError: it could not be written.
        """
        window = Window(self.window_name(name), jobs)
        self._write(self._open / (window.name + _WINDOW), {"v": _VERSION, "jobs": list(jobs)})
        return window

    def tell(self, window: Window) -> None:
        """Write what became of a window's jobs. Without it their transcripts are found in the service's list.

        So a failure is no reason to stop.
        """
        name = f"{window.name}.{secrets.token_hex(4)}{_NEWS}"
        unmatched = [job["fp"] for job in window.jobs if job.get("unmatched")]
        try:
            self._write(
                self._open / name,
                {"v": _VERSION, "ids": window.ids, "rejected": sorted(window.rejected), "unmatched": unmatched},
            )
        except OutputError as error:
            log.warning("%s", error)
            return
        window.news.append(name)

    def drop(self, window: Window) -> None:
        """Forget a window all of whose jobs have ended. What stays is looked into by a later run."""
        # News of a window that is gone mean nothing, so they go last.
        for name in (window.name + _WINDOW, *window.news):
            remove(self._open / name)

    def window_name(self, name: str) -> str:
        """Return the name of a window of this task instance."""
        return f"{self._owner}-{name}"

    def ours(self, name: str) -> bool:
        """Say whether a window is this task instance's own, of this or an earlier try."""
        return name.startswith(f"{self._owner}-")

    def try_of(self, window: str) -> int:
        """Return the number of the try that made a window of this task instance."""
        return int(window.removeprefix(f"{self._owner}-").partition(".")[0])

    def names(self) -> list[str]:
        """Return what lies in the folder of open jobs.

        Raises:
            OutputError: it cannot be read.
        """
        return names_in(self._open)

    def windows(self, names: Iterable[str]) -> list[Window]:
        """Return the windows among these names.

        Raises:
            OutputError: one cannot be read: it may stand for jobs that are paid for.
        """
        return windows_in(self._open, names)

    # Parts ---------------------------------------------------------------------------------------------------------

    def put_part(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a part of the plan or of the manifest.

        Raises:
            OutputError: it could not be written.
        """
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        write_file(self._parts / name, text.encode("utf-8", "surrogatepass"))

    def part(self, name: str) -> list[dict[str, Any]]:
        """Return a part.

        Raises:
            OutputError: it cannot be read.
        """
        path = self._parts / name
        try:
            text = path.fs.cat_file(path.path).decode("utf-8", "surrogatepass")
            return [json.loads(line) for line in text.split("\n") if line]
        except Exception as error:
            raise unreadable(path, error) from None

    def parts(self, kind: str) -> Iterator[str]:
        """Yield the names of the parts of a kind, in the order in which they were written.

        Raises:
            OutputError: the folder cannot be read.
        """
        names = [name for name in names_in(self._parts) if name.endswith(f".{kind}")]
        yield from sorted(names, key=lambda name: [int(each) for each in name.split(".")[:2]])

    def part_path(self, name: str) -> UPath:
        """Return where a part is."""
        return self._parts / name

    def clear_parts(self, try_number: int) -> None:
        """Remove the parts of this try and those before it; the manifest is there in their place.

        If this try was taken for dead and is not, its successor has parts of its own.
        """
        for name in names_in(self._parts):
            if int(name.partition(".")[0]) <= try_number:
                remove(self._parts / name)

    def _write(self, path: UPath, value: object) -> None:
        write_file(path, json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def windows_in(folder: UPath, names: Iterable[str]) -> list[Window]:
    """Return the windows among the names of what lies in a folder of open jobs.

    Raises:
        OutputError: one cannot be read: it may stand for jobs that are paid for.
    """
    news: dict[str, list[str]] = {}
    found = []
    for name in names:
        if name.endswith(_NEWS):
            news.setdefault(name.removesuffix(_NEWS).rpartition(".")[0], []).append(name)
        elif name.endswith(_WINDOW):
            found.append(name.removesuffix(_WINDOW))
    windows = (_window(folder, name, news.get(name, [])) for name in sorted(found))
    return [window for window in windows if window is not None]


def _window(folder: UPath, name: str, news: Sequence[str]) -> Window | None:
    written = _read(folder / (name + _WINDOW))
    if written is None:
        return None  # Gone since it was listed.
    window = Window(name, written["jobs"], news=list(news))
    for each in news:
        said = _read(folder / each)
        if said is None:
            continue
        window.ids.update(said["ids"])
        window.rejected.update(said["rejected"])
        for job in window.jobs:
            if job["fp"] in said["unmatched"]:
                job["unmatched"] = True
    window.rejected -= window.ids.keys()
    return window


def _read(path: UPath) -> Any:
    try:
        found = read_json(path)
    except FileNotFoundError:
        return None
    if not isinstance(found, dict) or found.get("v") != _VERSION or not (_is_window(found) or _is_news(found)):
        raise OutputError(
            f"{path} is no record of this version, so nobody can tell whether jobs are under way. Nothing was "
            "submitted. If you are sure that none are, delete it."
        )
    return found


def _is_window(found: Mapping[str, Any]) -> bool:
    jobs = found.get("jobs")
    return isinstance(jobs, list) and all(
        isinstance(job, dict)
        and all(isinstance(job.get(field), str) for field in ("fp", "audio", "base", "url_sha256", "account"))
        and isinstance(job.get("shared_url"), bool)
        and isinstance(job.get("entry"), dict)
        and isinstance(job.get("prior"), list)
        and number(job.get("intent_at")) is not None
        for job in jobs
    )


def _is_news(found: Mapping[str, Any]) -> bool:
    ids, lists = found.get("ids"), (found.get("rejected"), found.get("unmatched"))
    return isinstance(ids, dict) and all(map(is_id, ids.values())) and all(isinstance(each, list) for each in lists)
