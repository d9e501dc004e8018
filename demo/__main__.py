"""What ``make demo``, ``make up`` and ``make down`` run: ``python -m demo [demo|up|down]``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence

import requests

from demo import machine
from demo.airflow_api import AirflowApi, AirflowApiError
from demo.processes import ProcessError, end_on_signals
from demo.runs import DAG_ID, Outcome, Recording, transcribe

_TIMEOUT_S = 600.0
_INTERRUPTED = 130  # What a shell reports for a program that Ctrl-C ended.


def main() -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", nargs="?", default="demo", choices=sorted(_COMMANDS))
    command = _COMMANDS[parser.parse_args().command]
    end_on_signals()
    try:
        return command()
    except KeyboardInterrupt:
        print("Interrupted. All that was started is stopped.")
        return _INTERRUPTED
    except (ProcessError, AirflowApiError, TimeoutError, requests.RequestException) as error:
        print(f"\n{error}\n\nAll logs: {machine.HOME}", file=sys.stderr)
        return 1


def demo() -> int:
    """Transcribe the sample recordings and open the report; stop again all that was started for it."""
    say, url = _clock(), machine.url()
    if url:
        say(f"Using what `make up` has started: {url}")
        outcome = transcribe(AirflowApi(url), machine.CALLS, say, _TIMEOUT_S)
    elif machine.running():
        print("Processes of an earlier start still run. Stop them first: make down", file=sys.stderr)
        return 1
    else:
        machine.forget()
        with machine.Machine(say) as started:
            outcome = transcribe(started.airflow.api, machine.CALLS, say, _TIMEOUT_S)
            say("Stopping ...")
    _print(outcome.recordings)
    if not outcome.as_intended:
        print(f"\nNot all ended as it should. {outcome.error}\nAll logs: {machine.HOME}", file=sys.stderr)
        return 1
    say(f"Done. To look at this run in Airflow's UI: {url or 'make up'}")
    print(f"\nThe report, for a browser: {outcome.report}", flush=True)
    _open(outcome)
    return 0


def _open(outcome: Outcome) -> None:
    """Show the report to a person who sits in front of this machine."""
    if outcome.report and sys.stdout.isatty() and any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        webbrowser.open(outcome.report.as_uri())


def up() -> int:
    """Start all and leave it running."""
    url = machine.url()
    if url:
        print(f"It is already running: {url}")
        return 0
    machine.end()
    started = machine.Machine(_clock())
    started.start()
    started.let_go()
    print(
        f"\nAirflow's UI: {started.airflow.url}  (no login; only this machine can reach it)"
        f"\nTry the DAG {DAG_ID} with a folder of your own, or run: make demo"
        f"\nLogs: {machine.HOME}"
        "\nTo stop: make down"
    )
    return 0


def down() -> int:
    """Stop what :func:`up` started."""
    print("Stopped." if machine.end() else "Nothing is running.")
    return 0


def _clock() -> Callable[[str], None]:
    """Return a function that prints lines with the seconds since now; the same on a terminal and in a pipe."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    return say


def _print(items: Sequence[Recording]) -> None:
    """Print what became of each recording."""
    name = max((len(item.name) for item in items), default=4)
    width = max(shutil.get_terminal_size((120, 24)).columns - name - 30, 30)
    print(f"\n{'file':<{name}}  {'status':<9}{'audio s':>8}{'words':>7}  text")
    for item in items:
        summary = item.summary or {}
        facts = f"{summary.get('audio_duration_s') or '':>8}{summary.get('word_count', ''):>7}"
        text = textwrap.shorten(summary.get("text") or "", width, placeholder=" ...")
        print(f"{item.name:<{name}}  {item.state or '':<9}{facts}  {text}".rstrip())
    for item in items:
        if item.reason:
            print("", *textwrap.wrap(f"{item.name}: {item.reason}", name + width + 28), sep="\n")
    print(flush=True)


_COMMANDS: Mapping[str, Callable[[], int]] = {"demo": demo, "up": up, "down": down}


if __name__ == "__main__":
    sys.exit(main())
