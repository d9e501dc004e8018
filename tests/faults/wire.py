"""Faults on the line: in the middle of a request, with a late or lost one, and with a service that dies over it."""

from __future__ import annotations

import time

from tests.e2e.world import wait_until
from tests.faults.cases import Case, Row
from tests.faults.scenarios import Scenes
from tests.faults.stage import demand

# Larger than what the sockets on both sides can hold, so that the rest of it is still to come.
_LARGE = 20_000_000
_SUBMIT = "POST /v2/transcript"

# The worker is killed when it has sent a part of the request, or all of it and has not read the reply.
CUT_OFF = {
    "worker killed in the middle of the upload": "before part 8 of POST /v2/upload",
    "worker killed when half of the submission is sent": f"before part 2 of {_SUBMIT}",
    "worker killed while the service replies": f"before reply to {_SUBMIT}",
}


def cut_off(scenes: Scenes, fault: str, step: str, *, slot: bool = False, bucket: bool = False) -> Row:
    """The worker dies over a request."""
    large = "upload" in step
    case = scenes.case(fault, slot=slot, process_s=1.0, bucket=bucket, padding=_LARGE if large else 0).start(step)
    held = case.held()
    if "reply" in step:
        wait_until(case.transcripts, f"{fault}: the service accepted")
    held.kill()
    return case.finish()


def arrives_late(scenes: Scenes) -> Row:
    """The submission is on its way when its worker dies, and the service takes it 45 seconds later."""
    case = scenes.case("worker killed, submission accepted 45 s later", connection="late")
    demand(scenes.services["late"], method="POST", route="/v2/transcript", action="delay", seconds=45)
    case.start(f"before reply to {_SUBMIT}")
    held = case.held()
    _wait_for_submission(scenes, "late")
    held.kill()
    return case.finish()


def reply_lost(scenes: Scenes) -> Row:
    """The service accepts, and the connection breaks before its reply."""
    case = scenes.case("reply to the submission lost", connection="lossy")
    demand(scenes.services["lossy"], method="POST", route="/v2/transcript", action="drop", when="after")
    return case.start().finish()


def service_dies_over_it(scenes: Scenes, when: str) -> Row:
    """The service is killed while it has a submission in hand, which it has taken (``after``) or not (``before``)."""
    taken = {"before": "had not taken", "after": "had taken"}[when]
    case = scenes.case(f"service killed over a submission that it {taken}", connection="dying")
    service = scenes.services["dying"]
    demand(service, method="POST", route="/v2/transcript", action="delay", when=when, seconds=600)
    case.start()
    _wait_for_submission(scenes, "dying")
    time.sleep(1)  # It is counted when it arrives, and handled a moment later.
    service.kill()
    case.began = time.monotonic()
    service.start()
    return case.finish()


def both_deaths(scenes: Scenes) -> list[Row]:
    """One after the other: there is one service to be killed."""
    return [service_dies_over_it(scenes, when) for when in ("before", "after")]


def begins_in_the_cut(scenes: Scenes) -> list[Row]:
    """A task begins while the network is cut for a minute."""
    case: Case = scenes.case("network cut for a minute when the task begins", connection="far")
    assert scenes.proxy is not None
    with scenes.proxy.cut():
        case.start()
        time.sleep(60)
    return [case.finish()]


def _wait_for_submission(scenes: Scenes, name: str) -> None:
    wait_until(lambda: scenes.services[name].requests("POST", "/v2/transcript"), "the submission is sent", 120)
