"""The README's first DAG, taken from its text as a reader would, once as it is and once with a bucket for the text."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.object_storage import BUCKET

README = Path(__file__).resolve().parent.parent.parent / "README.md"
DAG_ID = "first_words"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CALLS, _TEXT = "/data/calls", "file:///data/text"


def dag_source() -> str:
    """Return the first Python block of the README that makes a DAG."""
    blocks: list[str] = _BLOCK.findall(README.read_text())
    return next(block for block in blocks if f'DAG("{DAG_ID}"' in block)


def write_dags(folder: Path, home: Path, call: Path) -> None:
    """Write the README's DAG to two files, with folders of the test's in place of the reader's.

    Args:
        folder: for the DAG files.
        home: for a folder of recordings, and the text.
        call: a recording.
    """
    (home / "calls").mkdir(parents=True)
    shutil.copy(call, home / "calls")
    for dag_id, text in ((DAG_ID, f"file://{home}/text"), (f"{DAG_ID}_in_a_bucket", f"s3://storage@{BUCKET}/readme")):
        source = dag_source()
        for here, there in ((_CALLS, f"{home}/calls"), (_TEXT, text), (f'"{DAG_ID}"', f'"{dag_id}"')):
            assert here in source, f"The README's DAG no longer names {here}."
            source = source.replace(here, there)
        (folder / f"{dag_id}.py").write_text(source)
