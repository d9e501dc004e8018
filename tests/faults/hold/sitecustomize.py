"""Stops a worker at a step that a test has named, in a file for its DAG run.

This folder is on PYTHONPATH of the Airflow processes of the fault tests, and nowhere else: the package knows nothing of
it. A worker that is stopped writes down which process it is, and waits to be killed or told to go on.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

HOLDS = Path(os.environ["ASR_TEST_HOLDS"])

Label = Callable[..., str]


def _written(path: Any, *_: Any) -> str:
    if "_asr" in str(path):
        return "write open job" if "/open/" in str(path) else "write receipt"
    return f"write {path.name.rpartition('.')[2]}"


def _begun(connection: Any, method: str, url: str, *_: Any, **__: Any) -> str:
    connection.asr_test_request, connection.asr_test_sent = f"{method} {url.partition('?')[0]}", 0
    return f"begin {connection.asr_test_request}"


def _sent(connection: Any, *_: Any) -> str:
    connection.asr_test_sent = getattr(connection, "asr_test_sent", 0) + 1
    return f"part {connection.asr_test_sent} of {_request(connection)}"


def _request(connection: Any) -> str:
    return str(getattr(connection, "asr_test_request", "?"))


STEPS: dict[str, dict[str, Label]] = {
    "airflow_asr.jobs.records": {"TryRecords.write": lambda _, record: f"record {record['state']}"},
    "airflow_asr.jobs.files": {"write_file": _written},
    "airflow_asr.api.client": {"AssemblyAIClient.submit": lambda *_, **__: "submit"},
    "airflow_asr.api.upload": {"UploadBody._read": lambda *_: "read audio"},
    "airflow_asr.operators.assemblyai": {
        "AssemblyAITranscribeOperator.execute_complete": lambda *_, **__: "execute_complete"
    },
    # Part 1 of a request is its head; its body follows.
    "http.client": {
        "HTTPConnection.putrequest": _begun,
        "HTTPConnection.send": _sent,
        "HTTPConnection.getresponse": lambda connection: f"reply to {_request(connection)}",
    },
    # What a worker does when Airflow has been told how the task ended.
    "airflow.sdk.execution_time.task_runner": {"finalize": lambda _, state, *__: f"end {state.value}"},
}
"""Module to function to the name of the step."""


def stop(step: str) -> None:
    """Wait here if a test wants this run's first try to."""
    for name in (os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"), os.environ.get("AIRFLOW_CTX_DAG_ID")):
        wanted = HOLDS / f"{name}.json"
        if not name or not wanted.exists():
            continue
        spec = json.loads(wanted.read_text())
        if spec["step"] != step or os.environ.get("AIRFLOW_CTX_TRY_NUMBER") != "1":
            continue
        held = HOLDS / f"{name}.held"
        held.with_suffix(".new").write_text(json.dumps({"pid": os.getpid(), "supervisor": os.getppid()}))
        held.with_suffix(".new").replace(held)
        while not (HOLDS / f"{name}.go").exists():
            time.sleep(0.05)


def wrapped(function: Callable[..., Any], label: Label) -> Callable[..., Any]:
    """Return the function with a stop before it and one after."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        step = label(*args, **kwargs)
        stop(f"before {step}")
        result = function(*args, **kwargs)
        stop(f"after {step}")
        return result

    return inner


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        for path, label in STEPS[module.__name__].items():
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, module)
            setattr(owner, name, wrapped(getattr(owner, name), label))


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in STEPS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
# A file of ours is written beside its place first. This module was there before any finder.
os.replace = wrapped(os.replace, lambda _, place, **__: f"rename {str(place).rpartition('.')[2]}")
