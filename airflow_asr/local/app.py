"""The service's routes. What they do is done elsewhere."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from airflow_asr.local import captions, clock, faults, sentences
from airflow_asr.local.errors import ApiError
from airflow_asr.local.service import LARGEST_REQUEST_BYTES, Service
from airflow_asr.local.settings import Settings

_MISSING_KEY = "Authentication error, API token missing/invalid"


def create_app(settings: Settings, demanded: faults.Faults | None = None) -> FastAPI:
    """An application that serves AssemblyAI's protocol.

    Args:
        settings: see there.
        demanded: where faults are kept; needed only to let them drop connections, which a web server must help with.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    app = FastAPI(
        title="airflow-asr local server",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=_EXCEPTION_HANDLERS,
    )
    key = [Depends(_key_check(settings.api_key))]
    app.include_router(_transcript_routes(service), prefix="/v2", dependencies=key)
    app.include_router(_text_routes(service), prefix="/v2/transcript/{transcript_id}", dependencies=key)
    if settings.enable_faults:
        demanded = demanded or faults.Faults()
        app.include_router(_fault_routes(demanded), dependencies=key)
        app.include_router(_clock_routes(service), dependencies=key)
        app.add_middleware(faults.FaultMiddleware, faults=demanded)

    @app.get("/upload/{upload_id}")
    def download(upload_id: str) -> Response:
        # Uploads can be read by the service only.
        return _error("AccessDenied", 403)

    @app.get("/redacted-audio/{name}")
    def redacted_audio(name: str, request: Request) -> Response:
        # As an object storage answers a signed URL: a key besides the signature is an error.
        if "Authorization" in request.headers:
            return _error("Only one auth mechanism allowed: the URL is signed, send no Authorization header", 400)
        return FileResponse(service.redacted_audio_file(name, request.query_params))

    return app


def _key_check(api_key: str) -> Callable[[Request], Awaitable[None]]:
    expected = api_key.encode()

    async def check(request: Request) -> None:
        given = request.headers.get("Authorization", "").encode("latin-1")
        if not secrets.compare_digest(given, expected):
            raise ApiError(_MISSING_KEY, 401)

    return check


def _transcript_routes(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.post("/upload")
    async def upload(request: Request) -> Response:
        upload_id = await service.upload(request.stream(), request.headers)
        if upload_id is None:
            return PlainTextResponse("Upload failed, please try again", 422)
        return JSONResponse({"upload_url": f"{_base_url(request)}/upload/{upload_id}"})

    @routes.post("/transcript")
    async def create(request: Request) -> Response:
        body = await _json_body(request)
        return JSONResponse(await run_in_threadpool(service.create, body, _base_url(request)))

    @routes.get("/transcript")
    def list_transcripts(request: Request) -> Response:
        return JSONResponse(service.page(request.query_params, _base_url(request)))

    @routes.get("/transcript/{transcript_id}")
    def get(transcript_id: str) -> Response:
        return JSONResponse(service.transcript(transcript_id))

    @routes.delete("/transcript/{transcript_id}")
    def delete(transcript_id: str) -> Response:
        return JSONResponse(service.delete(transcript_id))

    return routes


def _text_routes(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sentences")
    def get_sentences(transcript_id: str) -> Response:
        result = service.result(transcript_id)
        return JSONResponse(_derived(transcript_id, result, sentences=sentences.sentences(result["words"])))

    @routes.get("/paragraphs")
    def get_paragraphs(transcript_id: str) -> Response:
        result = service.result(transcript_id)
        return JSONResponse(_derived(transcript_id, result, paragraphs=sentences.paragraphs(result["words"])))

    @routes.get("/srt")
    def srt(transcript_id: str, request: Request) -> Response:
        chars = _chars_per_caption(request.query_params)
        return PlainTextResponse(captions.srt(service.result(transcript_id)["words"], chars))

    @routes.get("/vtt")
    def vtt(transcript_id: str, request: Request) -> Response:
        chars = _chars_per_caption(request.query_params)
        return PlainTextResponse(captions.vtt(service.result(transcript_id)["words"], chars))

    @routes.get("/word-search")
    def word_search(transcript_id: str, request: Request) -> Response:
        terms = [term for words in request.query_params.getlist("words") for term in words.split(",")]
        matches = sentences.search(service.result(transcript_id)["words"], terms)
        total = sum(match["count"] for match in matches)
        return JSONResponse({"id": transcript_id, "total_count": total, "matches": matches})

    @routes.get("/redacted-audio")
    def redacted_audio(transcript_id: str, request: Request) -> Response:
        url = service.redacted_audio(transcript_id, _base_url(request))
        if url is None:
            return JSONResponse({"status": "processing"}, 202)
        return JSONResponse({"status": "redacted_audio_ready", "redacted_audio_url": url})

    @routes.get("/{subtitle_format}")
    def not_a_subtitle_format(subtitle_format: str) -> Response:
        # The one error of the service that is no JSON.
        return HTMLResponse("404: Not Found", 404)

    return routes


def _fault_routes(demanded: faults.Faults) -> APIRouter:
    routes = APIRouter()

    @routes.get("/_faults")
    async def left() -> Response:
        return JSONResponse({"faults": demanded.left()})

    @routes.post("/_faults")
    async def add(request: Request) -> Response:
        demanded.add(faults.parse(await _json_body(request)))
        return JSONResponse({"faults": demanded.left()})

    @routes.delete("/_faults")
    async def clear() -> Response:
        demanded.clear()
        return JSONResponse({"faults": []})

    @routes.get("/_requests")
    async def counts() -> Response:
        return JSONResponse({"requests": demanded.counts()})

    return routes


def _clock_routes(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/_clock")
    def now() -> Response:
        return JSONResponse({"now": service.time()})

    @routes.post("/_clock")
    async def forward(request: Request) -> Response:
        await run_in_threadpool(service.forward, clock.parse(await _json_body(request)))
        return JSONResponse({"now": service.time()})

    return routes


def _derived(transcript_id: str, result: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    kept = {name: result[name] for name in ("confidence", "audio_duration", "speech_model_used")}
    return {"id": transcript_id, **kept, **parts}


def _chars_per_caption(query: Mapping[str, str]) -> int:
    text = query.get("chars_per_caption")
    if text is None:
        return captions.DEFAULT_CHARS_PER_CAPTION
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= 1_000_000:
        raise ApiError(f"chars_per_caption must be a whole number from 1, not {text!r}")
    return int(text)


def _base_url(request: Request) -> str:
    # As the client called us, so that the URLs in replies work for it.
    return str(request.base_url).rstrip("/")


async def _json_body(request: Request) -> object:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_REQUEST_BYTES:
            raise ApiError(f"The request body is larger than {LARGEST_REQUEST_BYTES} bytes")
    try:
        value = json.loads(bytes(body))
        # JSON can spell halves of characters, which no reply and no database can hold.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ApiError("The request body is not JSON") from None
    return value


def _error(message: str, status: int) -> JSONResponse:
    return JSONResponse({"error": message}, status)


async def _on_api_error(_: Request, error: ApiError) -> Response:
    return _error(error.message, error.status)


async def _on_http_error(_: Request, error: HTTPException) -> Response:
    message = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, "Bad request")
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def _on_disconnect(_: Request, error: ClientDisconnect) -> Response:
    # It went away in the middle of its request: no fault of ours, and nobody is there to be told.
    return Response(status_code=400)


async def _on_server_error(_: Request, error: Exception) -> Response:
    # Starlette raises it again after the reply, and the web server logs it.
    return _error("Internal server error. Please retry your request; the log of the local server says more.", 500)


_EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    ApiError: _on_api_error,
    HTTPException: _on_http_error,
    ClientDisconnect: _on_disconnect,
    Exception: _on_server_error,
}
