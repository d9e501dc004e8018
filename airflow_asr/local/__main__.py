"""``python -m airflow_asr.local`` is the command ``airflow-asr``."""

from __future__ import annotations

import sys

from airflow_asr.local.cli import main

sys.exit(main())
