"""Breaks the protocol on purpose, one rule at a time, and says whether the tests notice.

Run it as ``python -m tests.jobs.mutants [NAME ...]``. Each mutant is a copy of the package with one change in it; the
model of :mod:`tests.jobs.test_spend_once` and the tests of submissions run against it. The exit code is 1 if one lives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "tests/jobs/test_spend_once.py",
    "tests/jobs/test_batch_spend_once.py",
    "tests/jobs/test_submission.py",
    "tests/jobs/test_search.py",
    "tests/operators/test_transcribe.py",
)


@dataclass(frozen=True)
class Mutant:
    """One rule, broken."""

    name: str
    module: str
    before: str
    after: str


MUTANTS = (
    Mutant("no fence age", "sending", "if kept and self._elapsed() - began <= FENCE_S:", "if kept:"),
    Mutant(
        "unfenced set",
        "sending",
        "                raise RecordError(\n",
        "                return\n                raise RecordError(\n",
    ),
    Mutant("short horizon", "search", "HORIZON_S = 130.0", "HORIZON_S = 60.0"),
    Mutant(
        "look before the horizon decides", "search", "if age_s < look_s <= horizon_s", "if age_s < look_s < horizon_s"
    ),
    Mutant(
        "URL computed anew",
        "sending",
        'record["url_sha256"] = url_hash(url)',
        'record.setdefault("url_sha256", url_hash(url))',
    ),
    Mutant(
        "young not-found is gone",
        "submission",
        'record.get("intent_at", 0) < HORIZON_S',
        'record.get("intent_at", 0) < 0',
    ),
    Mutant(
        "one record for all tries",
        "records",
        "{_key(record['fp'])}.{self._try}\", dict",
        "{_key(record['fp'])}.1\", dict",
    ),
    Mutant(
        "only this try's record",
        "records",
        "for number in range(self._try, 0, -1):\n            record:",
        "for number in (self._try,):\n            record:",
    ),
    Mutant("no config check", "search", "return echo is Echo.SAME", "return True"),
    Mutant("unknown parameters taken for ours", "search", "if echo is Echo.UNKNOWN:", "if False:"),
    Mutant("blind submit", "submission", 'if record["state"] != "intent":', 'if record["state"]:'),
    Mutant("blind submit after a lost reply", "sending", "found = self._search.find(record, config)", "found = None"),
    Mutant("prior not excluded", "search", 'row.id not in record["prior"] and ', ""),
    Mutant(
        "incomplete walk is a walk",
        "search",
        "except (AssemblyAIError, ValueError, TypeError, KeyError, RecursionError) as error:\n            raise JobSearchError(\n                f\"{record['audio']}: it is",
        "except (AssemblyAIError, ValueError, TypeError, KeyError, RecursionError) as error:\n            return None\n            raise JobSearchError(\n                f\"{record['audio']}: it is",
    ),
    Mutant("another account's list decides", "search", 'if record["account"] != self._client.account:', "if False:"),
    Mutant(
        "another account's not-found is gone",
        "submission",
        'if record["account"] != self._client.account:\n                # S',
        "if False:\n                # S",
    ),
    Mutant("local clock", "search", "return self._client.service_time(self._clock())", "return self._clock()"),
    Mutant(
        "only today's list",
        "search",
        'for record in records if now - record["intent_at"] > _DAY_S]',
        "for record in records if False]",
    ),
    Mutant("no announcement", "open_jobs", "        self._write(name + _INTENT, record)\n", ""),
    Mutant("other runs are not asked", "submission", 'known = open_jobs.of(record["fp"])', "known = []"),
    Mutant("look before the announcement only", "sending", "        if others:\n", "        if False:\n"),
    Mutant(
        "other runs' intents count for nothing",
        "submission",
        "if job.ours:\n                    continue",
        "if True:\n                    continue",
    ),
    Mutant(
        "a zombie forgets its successor's intent",
        "submission",
        "                    continue  # It is in",
        "                    open_jobs.drop(job.name)\n                    continue  # It is in",
    ),
    Mutant("an announcement is as old as its fence", "submission", "slack_s=FENCES * FENCE_S", "slack_s=-60.0"),
    Mutant(
        "a finished task asks again", "transcription", "        if done is not None:\n            return done\n", ""
    ),
    Mutant("resubmits without end", "transcription", "if self._used(record) > self._order.max_resubmits:", "if False:"),
    # Batches.
    Mutant(
        "keys by position", "batch/run", 'window.ids.get(job["fp"])', "dict(enumerate(window.ids.values())).get(index)"
    ),
    Mutant(
        "an open window is not taken up",
        "batch/run",
        "                self._take_up(window, kept[name])",
        "                pass",
    ),
    Mutant("what vanished is ignored", "batch/planning", "self._land_finished(catalogue)", "desk.by_id.clear()"),
    Mutant(
        "an unclear submission is sent again",
        "batch/run",
        "            desk.fly(Flight(job, window.name, bit)",
        '            if job["fp"] in window.ids: desk.fly(Flight(job, window.name, bit)',
    ),
    Mutant("no horizon in a batch", "batch/reconciling", ">= _HORIZON_S", ">= 0"),
    Mutant(
        "a window that is not announced",
        "batch/sending",
        "window = desk.ledger.announce(name, ",
        "window = Window(desk.ledger.window_name(name), ",
    ),
    Mutant(
        "a window without a fence", "batch/sending", "latest = min(latest, desk.fence() + FENCE_S)", "latest = latest"
    ),
    Mutant(
        "a batch does not ask other runs",
        "batch/others",
        "        found = self._open.setdefault(fp, [])",
        "        return None\n        found = self._open.setdefault(fp, [])",
    ),
    Mutant(
        "one submission of another run is enough",
        "batch/others",
        "theirs = found.pop()",
        "theirs, found[:] = found[0], []",
    ),
    Mutant("what a batch has is asked again", "batch/planning", "row = catalogue.done(base, fp)", "row = None"),
)


def main(names: list[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        caught = list(pool.map(_is_caught, chosen))
    for mutant, dead in zip(chosen, caught, strict=True):
        print(f"{'caught' if dead else 'LIVES ':8}{mutant.name}")
    print(f"{sum(caught)} of {len(caught)} mutants caught")
    return 0 if all(caught) else 1


def _is_caught(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for part in ("airflow_asr", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.bin"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        module = copy / "airflow_asr" / "jobs" / f"{mutant.module}.py"
        source = module.read_text()
        if source.count(mutant.before) != 1:
            raise SystemExit(f"{mutant.name}: its text is in {mutant.module}.py {source.count(mutant.before)} times.")
        module.write_text(source.replace(mutant.before, mutant.after))
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
        env = {**os.environ, "PYTHONPATH": str(copy), "SPEND_ONCE_EXAMPLES": "2000"}
        run = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
        # 1 is a failed test. Anything else is a mutant that does not even run.
        if run.returncode not in (0, 1):
            raise SystemExit(
                f"{mutant.name}: pytest ended with {run.returncode}.\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
            )
        return run.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
