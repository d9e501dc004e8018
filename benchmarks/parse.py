"""Measures what this package adds to the parsing of a DAG file, which Airflow does again and again.

Every figure is from a fresh interpreter with its bytecode cached, and counts from where ``airflow.sdk`` is loaded: a
DAG file pays for that anyway. Run it as ``python -m benchmarks.parse [--rounds 7]``.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, print_table, save, spread

MOST_MS = 30.0
# Each costs more than the whole package may; they belong inside the methods that need them.
FORBIDDEN = frozenset({"requests", "pendulum", "fastapi", "faster_whisper", "yake"})
_PACKAGE = "the package"
_EMPTY_DAG = "an empty DAG of Airflow's own"
# Official providers that wait for a service, too: operator and sensor, or what comes nearest. Those that are installed.
_PROVIDERS = {
    "standard: operators.python, sensors.date_time": "standard.operators.python standard.sensors.date_time",
    "http: operators.http, sensors.http": "http.operators.http http.sensors.http",
    "amazon: operators.bedrock, sensors.bedrock": "amazon.aws.operators.bedrock amazon.aws.sensors.bedrock",
    "openai: operators.openai, triggers.openai": "openai.operators.openai openai.triggers.openai",
}
_HEAVIEST = 8
_MARK = "-- airflow.sdk is loaded --"


def main() -> int:
    rounds = _rounds()
    own = [_PACKAGE, _EMPTY_DAG, *(f"dags/{path.name}" for path in sorted((ROOT / "dags").glob("*.py")))]
    subjects = [*own, *filter(_is_installed, _PROVIDERS)]
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder))
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in subjects}
        for _ in range(rounds + 1):
            for name in subjects:
                runs[name].append(_child(environment, name)[0])
        heaviest = _importtime(_child(environment, _PACKAGE, "-X", "importtime")[1])

    # The first run of each wrote the bytecode.
    times = {name: spread([run["ms"] for run in each[1:]], 2) for name, each in runs.items()}
    modules = {name: sorted(each[-1]["modules"]) for name, each in runs.items()}
    print_table(
        ["after airflow.sdk", "median ms", "min", "max", "modules"],
        [
            [name, *(f"{each[part]:.2f}" for part in ("median", "min", "max")), len(modules[name])]
            for name, each in times.items()
        ],
    )
    print_table(
        ["heaviest imports (slower under -X importtime)", "own ms", "with what it imports"],
        [[each["module"], f"{each['own_ms']:.2f}", f"{each['ms']:.2f}"] for each in heaviest],
    )
    save(
        "parse",
        {"most_ms": MOST_MS, "rounds": rounds, "ms": times, "modules": modules, "heaviest": heaviest},
    )
    return _verdict(times[_PACKAGE]["median"], {name: modules[name] for name in own})


def _verdict(median_ms: float, modules: dict[str, list[str]]) -> int:
    failed = False
    for name, loaded in modules.items():
        heavy = FORBIDDEN & {module.partition(".")[0] for module in loaded}
        if heavy:
            print(f"FAILED: {name} imports {', '.join(sorted(heavy))}")
            failed = True
    slow = median_ms >= MOST_MS
    print(f"{'FAILED' if slow else 'ok'}: importing the package took {median_ms:.1f} ms; the limit is {MOST_MS:.0f} ms")
    return int(failed or slow)


def import_and_report(subject: str) -> None:
    """Import a subject and print the time and the new modules. Runs in a process of its own."""
    from airflow.sdk import DAG, BaseHook, BaseOperator, task  # noqa: F401  what a DAG file has paid already

    before = set(sys.modules)
    print(_MARK, file=sys.stderr, flush=True)
    began = time.perf_counter()
    if subject == _PACKAGE:
        from airflow_asr.hooks.assemblyai import AssemblyAIHook  # noqa: F401
        from airflow_asr.operators.assemblyai import AssemblyAITranscribeOperator  # noqa: F401
        from airflow_asr.sensors.assemblyai import AssemblyAITranscriptSensor  # noqa: F401
    elif subject == _EMPTY_DAG:
        DAG("empty", schedule=None)
    elif subject in _PROVIDERS:
        for module in _PROVIDERS[subject].split():
            importlib.import_module(f"airflow.providers.{module}")
    else:
        sys.path.append(str(ROOT / "dags"))  # As Airflow does.
        loader = importlib.machinery.SourceFileLoader("dag_file", str(ROOT / subject))  # As Airflow loads it.
        spec = importlib.util.spec_from_loader("dag_file", loader)
        assert spec is not None
        loader.exec_module(importlib.util.module_from_spec(spec))
    took_s = time.perf_counter() - began
    print(_MARK, file=sys.stderr, flush=True)
    print(json.dumps({"ms": took_s * 1000, "modules": sorted(set(sys.modules) - before)}))


def _is_installed(provider: str) -> bool:
    return importlib.util.find_spec(f"airflow.providers.{provider.partition(':')[0]}") is not None


def _child(environment: dict[str, str], subject: str, *options: str) -> tuple[dict[str, Any], str]:
    call = "import sys; from benchmarks.parse import import_and_report; import_and_report(sys.argv[1])"
    command = [sys.executable, *options, "-c", call, subject]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment with an Airflow home and a bytecode cache of its own, both empty."""
    # What a developer has set for Python, such as PYTHONDONTWRITEBYTECODE, would be measured too.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON"))}
    return {**kept, "AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _importtime(text: str) -> list[dict[str, Any]]:
    """Return the heaviest imports between the marks of ``-X importtime``."""
    _, between, _ = text.split(_MARK)
    lines = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| +(\S+)", between)
    found = [{"module": name, "own_ms": int(own) / 1000, "ms": int(total) / 1000} for own, total, name in lines]
    return sorted(found, key=lambda each: each["own_ms"], reverse=True)[:_HEAVIEST]


def _rounds() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parse", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="fresh interpreters to measure (default: 7)")
    return int(parser.parse_args().rounds)


if __name__ == "__main__":
    sys.exit(main())
