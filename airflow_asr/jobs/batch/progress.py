"""One line on how far a batch is."""

from __future__ import annotations

from airflow_asr.api.errors import AssemblyAIError
from airflow_asr.jobs.batch.budget import HOUR_S
from airflow_asr.jobs.batch.desk import Desk


def progress(desk: Desk, blocked: AssemblyAIError | None) -> str:
    """Return how far a batch is: what is done, failed, there already and under way, hours, rate and expected end."""
    state = desk.state
    ended = state["done"] + state["failed"] + state["there"]
    to_go = max(state["files"] - ended, 0)
    line = (
        f"{state['done']:,} done, {state['failed']:,} failed, {state['there']:,} there already, {desk.in_flight:,} in "
        f"flight, {to_go:,} to go of {state['files']:,}; {state['spent']['seconds'] / HOUR_S:.1f} hours of audio"
    )
    passed_s = desk.clock() - state.get("began", desk.clock())
    if state["done"] and passed_s > 0:
        a_minute = state["done"] / passed_s * 60.0
        line += f", {a_minute:,.0f} recordings a minute, about {_time(to_go / a_minute * 60.0)} left"
    return f"{line}." if blocked is None else f"{line}. Sending pauses: {blocked}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
