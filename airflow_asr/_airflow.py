"""Everything of Airflow that this package uses, in one place, so that a new Airflow version is met in one file.

DAG files import this module: it must cost next to nothing over ``airflow.sdk``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import (  # type: ignore[attr-defined]  # NEVER_EXPIRE is in the module, not in its stub.
    NEVER_EXPIRE,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    ExceptionRetryPolicy,
    PokeReturnValue,
    RetryDecision,
    RetryRule,
)
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

__all__ = [
    "NEVER_EXPIRE",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "ExceptionRetryPolicy",
    "PokeReturnValue",
    "RetryDecision",
    "RetryRule",
    "deferrable_by_default",
    "open_path",
]


def deferrable_by_default() -> bool:
    """Return ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def open_path(uri: str) -> UPath:
    """Return a local path or an object storage URI as a path.

    Raises:
        RequestError: it names a Connection that does not exist. The AWS provider would go on with whatever credentials
            the machine has, and say so in a warning.
    """
    from airflow.sdk import ObjectStoragePath  # Not at the top: DAG files would pay for it.

    from airflow_asr.api.errors import RequestError
    from airflow_asr.api.redaction import redact_url

    scheme, separator, rest = uri.partition("://")
    conn_id = rest.partition("/")[0].rpartition("@")[0]
    if conn_id:
        try:
            BaseHook.get_connection(conn_id)
        except AirflowNotFoundException:
            name, colon, _ = conn_id.partition(":")  # What follows may be the secret of an access key.
            raise RequestError(
                f"There is no Connection {name + (':[hidden]' if colon else '')!r}, which the URI of {redact_url(uri)} "
                "names before its @. Make it, or name another one there; keys and passwords go into the Connection."
            ) from None
    elif separator and scheme.lower() not in ("file", "local"):
        log.info("%s names no Connection, so the credentials of this machine are used.", redact_url(uri))
    return ObjectStoragePath(uri)  # type: ignore[return-value]  # It is one in all but its bases.
