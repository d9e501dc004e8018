"""The command ``airflow-asr``."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_asr.local.echo import DEFAULT_PROCESS_S, EchoEngine
from airflow_asr.local.engine import Engine
from airflow_asr.local.settings import (
    DEFAULT_API_KEY,
    DEFAULT_CONCURRENCY,
    DEFAULT_MAX_UPLOAD_BYTES,
    DEFAULT_WEBHOOK_INTERVAL_S,
    Settings,
)

_INSTALL = "pip install 'airflow-asr[local]'"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _UsageError(Exception):
    """The command cannot do what it is asked to; the message says why and what helps."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        _serve(options)
    except _UsageError as error:
        sys.stderr.write(f"airflow-asr: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-asr", description="Speech to text for Apache Airflow.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run an AssemblyAI on this machine",
        description="Serve AssemblyAI's pre-recorded speech-to-text API on this machine, with a real recogniser and "
        "without an account. Transcripts survive restarts and kills.",
    )
    add = serve.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_port, default=8765, help="port to listen on; 0 takes a free one (%(default)s)")
    add(
        "--data-dir",
        type=Path,
        default=_default_data_dir(),
        metavar="DIR",
        help="for transcripts, uploads (%(default)s)",
    )
    add("--concurrency", type=_positive, default=DEFAULT_CONCURRENCY, metavar="N", help="jobs at once (%(default)s)")
    add("--engine", choices=("whisper", "echo"), default="whisper", help="echo hears nothing, for tests (%(default)s)")
    add("--model", help="directory or Hugging Face name of a Whisper model (the English one that is installed)")
    add("--api-key", type=_key, default=DEFAULT_API_KEY, metavar="KEY", help="what clients must send (%(default)s)")
    add(
        "--max-upload-bytes",
        type=_positive,
        default=DEFAULT_MAX_UPLOAD_BYTES,
        metavar="N",
        help="largest (%(default)s)",
    )
    add("--echo-seconds", type=_seconds, default=DEFAULT_PROCESS_S, metavar="S", help="time echo takes (%(default)s)")
    add(
        "--webhook-retry-seconds",
        type=_seconds,
        default=DEFAULT_WEBHOOK_INTERVAL_S,
        metavar="S",
        help="time between attempts to deliver a webhook (%(default)s)",
    )
    add("--enable-faults", action="store_true", help="let clients demand faults and move the clock, for tests")
    add("--until-stdin-closes", action="store_true", help="stop when standard input ends, for tests")
    return parser


def _default_data_dir() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "airflow-asr"


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return port


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 to 86400")
    return seconds


def _key(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("a key is not empty and has no spaces around it")
    return text


def _serve(options: argparse.Namespace) -> None:
    try:
        from airflow_asr.local import server
        from airflow_asr.local.service import DataDirInUseError
    except ModuleNotFoundError as error:
        raise _UsageError(f"the local server is not installed ({error}): {_INSTALL}") from error
    settings = Settings(
        data_dir=options.data_dir.expanduser().resolve(),
        engine=_engine(options),
        concurrency=options.concurrency,
        api_key=options.api_key,
        enable_faults=options.enable_faults,
        max_upload_bytes=options.max_upload_bytes,
        webhook_interval_s=options.webhook_retry_seconds,
    )
    if options.host not in _LOOPBACK and options.api_key == DEFAULT_API_KEY:
        sys.stderr.write("airflow-asr: others can reach this server, and its key is the default one: set --api-key\n")
    try:
        with server.listen(options.host, options.port) as listener:
            url = server.url_of(listener)

            def ready() -> None:
                sys.stdout.write(
                    f"airflow-asr serving on {url} (engine {settings.engine.name}, data in {settings.data_dir})\n"
                )
                sys.stdout.flush()

            server.run(settings, listener, ready, until_eof=options.until_stdin_closes)
    except (OSError, sqlite3.Error, DataDirInUseError) as error:
        raise _UsageError(str(error)) from error


def _engine(options: argparse.Namespace) -> Engine:
    if options.engine == "echo":
        if options.model is not None:
            raise _UsageError("--model is for --engine whisper; the echo has none")
        return EchoEngine(options.echo_seconds)
    try:
        from airflow_asr.local.weights import ModelError
        from airflow_asr.local.whisper import WhisperEngine
    except ModuleNotFoundError as error:
        raise _UsageError(f"the recogniser is not installed ({error}): {_INSTALL}") from error
    try:
        return WhisperEngine(options.model, workers=options.concurrency)
    except ModelError as error:
        raise _UsageError(str(error)) from error
