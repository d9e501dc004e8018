"""What the benchmarks share: a table for people, and a JSON file to compare with later."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a header, each column as wide as it needs. Floats get one decimal; format others yourself."""
    lines = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        first, *others = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join([first.strip().ljust(widths[0]), *others]))
    print()


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Return the median and the range: a median alone hides how much the machine was disturbed."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def shown(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, and the range behind it where there is more than one value."""
    each = spread(values, digits)
    most = f" ({each['min']:.{digits}f}..{each['max']:.{digits}f})" if len(values) > 1 else ""
    return f"{each['median']:.{digits}f}{most}"


def judge(what: str, values: Sequence[float], *, most: float | None = None, least: float | None = None) -> bool:
    """Say whether the median is below ``most``, or at least ``least``. Where nothing was measured, it is not."""
    middle = median(values) if values else None
    passed = middle is not None and (most is None or middle < most) and (least is None or middle >= least)
    bar = f"below {most:g}" if most is not None else f"at least {least:g}"
    print(f"{'ok' if passed else 'FAILED'}: {what}: {shown(values, 2) if values else 'not measured'}; it must be {bar}")
    return passed


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write ``benchmarks/results/<name>.json``, with the facts of the machine that a reader needs, and no more."""
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine, **result}, indent=2) + "\n")
    print(f"Written to {path.relative_to(ROOT)}")


def peak_memory_mb() -> float:
    """Return the most memory that this process ever had, in MB."""
    # Not ru_maxrss: Linux carries that one over from the process that started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1_000_000
    raise SystemExit("This system does not say how much memory a process had at most.")


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
