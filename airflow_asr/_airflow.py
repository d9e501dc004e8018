"""Everything of Airflow that this package uses, in one place, so that a new Airflow version is met in one file.

DAG files import this module: it must cost next to nothing over ``airflow.sdk``.
"""

from __future__ import annotations

from airflow.sdk import (  # type: ignore[attr-defined]  # NEVER_EXPIRE is in the module, not in its stub.
    NEVER_EXPIRE,
    BaseHook,
    BaseOperator,
    BaseSensorOperator,
    PokeReturnValue,
)
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

__all__ = [
    "NEVER_EXPIRE",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "PokeReturnValue",
    "deferrable_by_default",
]


def deferrable_by_default() -> bool:
    """Return ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
