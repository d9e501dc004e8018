"""The README's first DAG, taken from its text as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent.parent / "README.md"
FILE_NAME = "from_readme.py"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OPERATOR = "AssemblyAISubmitTranscriptOperator"
_AUDIO = re.compile(r"""(\baudio\s*=\s*)(["']).*?\2""")


def dag_source() -> str | None:
    """Return the first Python block of the README that submits a transcript."""
    return next((block for block in _BLOCK.findall(README.read_text()) if _OPERATOR in block), None)


def write_dag(folder: Path, audio: Path) -> None:
    """Write the README's DAG to a file, with this audio in place of the reader's; nothing else is changed."""
    source = dag_source()
    if source is not None:
        (folder / FILE_NAME).write_text(_AUDIO.sub(lambda found: f"{found[1]}{str(audio)!r}", source))
