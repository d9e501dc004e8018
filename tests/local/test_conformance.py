"""No reply outside the vendor's OpenAPI document, but for known differences.

The document is not part of the project: the environment variable ``ASSEMBLYAI_OPENAPI`` names its file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from airflow_asr.local.testing import LocalServer, scripted_audio
from tests.local.http import Http
from tests.local.receiver import Receiver

DOCUMENT = os.environ.get("ASSEMBLYAI_OPENAPI")

pytestmark = pytest.mark.skipif(
    not DOCUMENT, reason="ASSEMBLYAI_OPENAPI does not name the vendor's OpenAPI document, which is not ours to ship"
)

LONG_S = 600  # Longer than the tests: what takes so long is being processed all the time.

Json = dict[str, Any]


# --- Where the service, and with it the local server, is known to differ from its document ---


def _any_model(body: Json) -> None:
    body["components"]["schemas"]["SpeechModel"].pop("enum")


def _zone(body: Json) -> None:
    properties = body["components"]["schemas"]["TranscriptListItem"]["properties"]
    for name in ("created", "completed"):
        pattern = properties[name]["pattern"]
        assert pattern.endswith("))$"), pattern
        properties[name]["pattern"] = pattern.removesuffix("))$") + ")Z)$"


def _model_of_parts(body: Json) -> None:
    for name in ("SentencesResponse", "ParagraphsResponse"):
        properties = body["components"]["schemas"][name]["properties"]
        assert "speech_model_used" not in properties
        properties["speech_model_used"] = {"type": "string"}


def _redacted_audio_not_ready(body: Json) -> None:
    replies = body["paths"]["/v2/transcript/{transcript_id}/redacted-audio"]["get"]["responses"]
    assert "202" not in replies
    replies["202"] = {"description": "Not ready", "content": {"application/json": {"schema": {"type": "object"}}}}


def _no_such_type(body: Json) -> None:
    properties = body["components"]["schemas"]["ActionItemsRequestBody"]["properties"]["action_items"]["properties"]
    assert properties["include_decisions"]["type"] == "bool"
    properties["include_decisions"]["type"] = "boolean"


def _satisfiable_request(body: Json) -> None:
    schemas = body["components"]["schemas"]
    first, optional = schemas["TranscriptParams"].pop("allOf")
    assert optional == {"$ref": "#/components/schemas/TranscriptOptionalParams"}
    properties = {**schemas["TranscriptOptionalParams"]["properties"], **first["properties"]}
    schemas["TranscriptParams"].update(properties=properties, required=first["required"])


DIFFERENCES: Mapping[str, Callable[[Json], None]] = {
    "The list of models is not closed: new ones come every few months, and the local server has its own.": _any_model,
    "Times of the list end in Z.": _zone,
    "Sentences and paragraphs name the model, since August 2026.": _model_of_parts,
    "Redacted audio that is not ready yet is a 202.": _redacted_audio_not_ready,
    "Two closed objects are combined into one that allows nothing. This is about requests, not replies.": (
        _satisfiable_request
    ),
    "JSON Schema has no type of this name: a schema with it can check nothing.": _no_such_type,
}

# What a reply must be. Whether a request is welcome is another matter: the local server refuses what it cannot serve.
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


@cache
def document() -> Json:
    """The document, with the differences."""
    body: Json = yaml.safe_load(Path(DOCUMENT or "").read_text())
    for differ in DIFFERENCES.values():
        differ(body)
    return body


@cache
def operations() -> Mapping[str, Any]:
    """The operations of the document by their labels."""
    if not DOCUMENT:
        return {}
    found: Iterator[Any] = schemathesis.openapi.from_dict(document()).get_all_operations()
    return {operation.label: operation for operation in (result.ok() for result in found)}


def _checks() -> list[Any]:
    load_all_checks()
    return CHECKS.get_by_names(list(CHECKED))


# --- Transcripts in every state ---


@dataclass(frozen=True)
class Service:
    """A server with transcripts in every state, some of which are there to be deleted."""

    http: Http
    audio_url: str
    receiver: Receiver
    known: tuple[str, ...]
    doomed: tuple[str, ...]

    def ids(self, label: str) -> st.SearchStrategy[str]:
        return st.sampled_from(self.doomed if label.startswith("DELETE") else self.known)

    def call(self, case: Any) -> requests.Response:
        """Make a request, check the reply, and return it."""
        reply = case.call_and_validate(
            base_url=self.http.server.url, headers={"Authorization": self.http.server.api_key}, checks=_checks()
        )
        return requests.Response() if reply is None else reply


def _ended(http: Http, receiver: Receiver) -> list[str]:
    hook = {"webhook_url": receiver.url, "webhook_auth_header_name": "X", "webhook_auth_header_value": "s"}
    cut = {"audio_start_from": 100, "audio_end_at": 1900, "language_code": "es", "speech_models": ["universal-2"]}
    deleted = http.heard()["id"]
    http.call("DELETE", f"/v2/transcript/{deleted}")
    bodies = [
        http.heard("Mr. Smith is 3.5 years old. Is he? He is!", config=hook),
        http.heard("a b c d", seconds=2, config=cut),
        http.heard(channels=["Good morning. You?", "Fine."], config={"multichannel": True, "punctuate": False}),
        http.heard("", language_code="fr", language_confidence=0.4, config={"language_detection": True}),
        http.heard(error="Audio duration is too short"),
    ]
    return [deleted, *(body["id"] for body in bodies)]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with LocalServer(concurrency=2) as server, Http(server) as http, Receiver() as receiver:
        ended, doomed = _ended(http, receiver), _ended(http, receiver)
        waiting = [http.say(process_s=LONG_S)["id"] for _ in range(6)]
        statuses = [http.transcript(transcript_id)["status"] for transcript_id in waiting]
        assert statuses == ["processing"] * 2 + ["queued"] * 4
        # One of each is left for the others.
        known, doomed = [*ended, waiting[0], waiting[2]], [*doomed, waiting[1], *waiting[3:]]
        yield Service(http, http.upload(scripted_audio()), receiver, tuple(known), tuple(doomed))


EXAMPLES = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


# --- The tests ---


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", operations())
def test_no_reply_outside_of_the_document(service: Service, label: str, mode: GenerationMode) -> None:
    operation = operations()[label]

    @EXAMPLES
    @given(
        case=operation.as_strategy(mode), transcript_id=service.ids(label), known=st.sampled_from([True] * 3 + [False])
    )
    def check(case: Any, transcript_id: str, known: bool) -> None:
        if "transcript_id" in case.path_parameters and known:
            case.path_parameters["transcript_id"] = transcript_id
        service.call(case)

    check()


def test_what_is_accepted(service: Service) -> None:
    """Parameters that are not served are dropped one by one, until the rest is accepted."""
    accepted = []

    @EXAMPLES
    @given(case=operations()["POST /v2/transcript"].as_strategy())
    def check(case: Any) -> None:
        case.body["audio_url"] = service.audio_url
        reply = service.call(case)
        while reply.status_code == 400 and (named := [name for name in case.body if name in reply.json()["error"]]):
            del case.body[named[0]]
            reply = service.call(case)
        accepted.append(reply.status_code == 200)

    check()
    assert sum(accepted) > len(accepted) / 2


def test_webhook(service: Service) -> None:
    schema = {"$ref": "#/components/schemas/TranscriptReadyNotification", "components": document()["components"]}
    for call in service.receiver.wait(2):
        jsonschema.validate(call.body, schema)
