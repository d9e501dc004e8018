"""Settings that must be there before Airflow is imported, and what many tests need."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Airflow reads its settings once, at import. Nothing of the machine's own Airflow may leak into the tests.
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
_home = tempfile.TemporaryDirectory(prefix="airflow-asr-tests-", ignore_cleanup_errors=True)
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"

from tests.scripted_service import ScriptedService  # noqa: E402

# A machine that is busy is no reason to fail; what must be fast is measured in benchmarks/.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A service whose replies the test writes down, one for each request, for what no real server can be made to do."""
    with ScriptedService() as running:
        yield running
