"""What Airflow reads at start, without importing anything else of this package."""

from __future__ import annotations

from typing import Any

from airflow_asr import __version__

_INTEGRATION = "AssemblyAI"

_CONNECTION: dict[str, Any] = {
    "connection-type": "assemblyai",
    "hook-class-name": "airflow_asr.hooks.assemblyai.AssemblyAIHook",
    "hook-name": "AssemblyAI",
    "ui-field-behaviour": {
        "hidden-fields": ["host", "port", "login", "schema", "extra"],
        "relabeling": {"password": "API key"},
        "placeholders": {"password": "the key of an AssemblyAI project; `local` for the server on your machine"},
    },
    "conn-fields": {
        "region": {
            "label": "Region",
            "description": "Where the account is. Audio and text stay there.",
            "schema": {"type": ["string", "null"], "enum": ["us", "eu", None], "default": None},
        },
        "base_url": {
            "label": "Base URL",
            "description": "Any other address of the service, as http://127.0.0.1:8765. Wins over the region.",
            "schema": {"type": ["string", "null"], "format": "url", "default": None},
        },
        "connect_timeout_s": {
            "label": "Connect timeout (s)",
            "description": "Seconds to wait for a connection. Default: 5.",
            "schema": {"type": ["number", "null"], "minimum": 0.1, "default": None},
        },
        "read_timeout_s": {
            "label": "Read timeout (s)",
            "description": "Seconds to wait for the next byte of a reply. Default: 30. Uploads wait longer.",
            "schema": {"type": ["number", "null"], "minimum": 0.1, "default": None},
        },
        "verify_tls": {
            "label": "Verify TLS",
            "description": "Check the certificate of the service.",
            "schema": {"type": "boolean", "default": True},
        },
        "proxies": {
            "label": "Proxies",
            "description": 'Scheme to URL, as {"https": "http://proxy.example:3128"}. Default: the environment\'s.',
            "schema": {"type": ["object", "null"], "default": None},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-asr",
        "name": "AssemblyAI speech to text",
        "description": "Transcripts that are paid for once and waited for without a worker slot.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.assemblyai.com/docs",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_asr.hooks.assemblyai"]}],
        "operators": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_asr.operators.assemblyai"]}],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_asr.sensors.assemblyai"]}],
        "triggers": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_asr.triggers.assemblyai"]}],
        "connection-types": [_CONNECTION],
    }
