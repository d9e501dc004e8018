"""Lists the recordings of the DAG ``transcribe_calls``, and gives each an id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from airflow_asr.jobs.names import output_name
from airflow_asr.jobs.storage import without_connection


class Recording(NamedTuple):
    """A recording.

    Attributes:
        call_id: the beginning of the names of its outputs: two recordings never share it.
        file: its file name.
        audio: its path, or its URI without a Connection.
    """

    call_id: str
    file: str
    audio: str


def find_recordings(folder: str, endings: Iterable[str]) -> list[str]:
    """Return the recordings in a folder and the folders in it, in the order of their names.

    One listing finds them all: there is no request for each file. Hidden files are left out.

    Args:
        folder: an absolute local path, or an object storage URI as ``s3://conn_id@bucket/folder``.
        endings: the ends of the names of recordings, as ``.wav``; case does not matter.

    Raises:
        FileNotFoundError: there is no recording in it.
        ValueError: a name is not in UTF-8. Airflow cannot hand it over to the next task.
        airflow.sdk.exceptions.AirflowNotFoundException: there is no Connection of that name.
    """
    from airflow.sdk import BaseHook, ObjectStoragePath

    root = ObjectStoragePath(folder)
    if root.conn_id:
        BaseHook.get_connection(root.conn_id)  # Some storages go on with the machine's own credentials without it.
    wanted = tuple(ending.lower() for ending in endings)
    prefix = f"{root.protocol}://{root.conn_id}@" if root.conn_id else f"{root.protocol}://"
    is_local = root.protocol in ("", "file")
    found = sorted(
        path if is_local else prefix + path
        for path, info in root.fs.find(root.path, detail=True).items()
        if info["type"] == "file" and path.lower().endswith(wanted) and not path.rpartition("/")[2].startswith(".")
    )
    if not found:
        raise FileNotFoundError(
            f"There is no recording in {folder}, nor in a folder in it: no file whose name ends in {', '.join(wanted)}."
        )
    for path in found:
        shown = path.encode("utf-8", "backslashreplace").decode()
        if shown != path:
            raise ValueError(
                f"The name {shown} is not in UTF-8, so it cannot be handed to the next task. Rename the file."
            )
    return found


def recording(audio: str) -> Recording:
    """Return the recording at a local path or object storage URI."""
    location = without_connection(audio) if "://" in audio else audio
    file = location.rpartition("/")[2]
    return Recording(output_name(file, location), file, location)
