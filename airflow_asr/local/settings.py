"""What a server needs to know before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow_asr.local.engine import Engine

DEFAULT_API_KEY = "local"
DEFAULT_CONCURRENCY = 2
DEFAULT_MAX_UPLOAD_BYTES = 2_200_000_000  # The service's own limit for /v2/upload.
DEFAULT_MAX_DOWNLOAD_BYTES = 5_000_000_000  # And for the file behind an audio_url.
DEFAULT_WEBHOOK_INTERVAL_S = 10.0  # As at the service.


@dataclass(frozen=True)
class Settings:
    """Everything that :func:`airflow_asr.local.app.create_app` wants.

    Attributes:
        data_dir: holds the database and the uploads; made if it is not there.
        engine: the recogniser.
        concurrency: how many transcripts are processed at once; the others are ``queued``.
        api_key: the only key that is let in.
        enable_faults: whether ``/_faults``, ``/_requests`` and ``/_clock`` exist.
        max_upload_bytes: the largest body that ``/v2/upload`` takes.
        max_download_bytes: the largest file that is fetched from an ``audio_url``.
        webhook_interval_s: seconds between two attempts to deliver a webhook.
    """

    data_dir: Path
    engine: Engine
    concurrency: int = DEFAULT_CONCURRENCY
    api_key: str = DEFAULT_API_KEY
    enable_faults: bool = False
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES
    max_download_bytes: int = DEFAULT_MAX_DOWNLOAD_BYTES
    webhook_interval_s: float = DEFAULT_WEBHOOK_INTERVAL_S
