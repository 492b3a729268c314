"""Prefect's engine as a command loads it."""

from __future__ import annotations

import subprocess
import sys


def test_prefect_is_loaded_without_pandas_which_can_be_loaded_afterwards():
    code = (
        "import sys; from flows.processes import engine; engine._load_engine(); "
        "assert 'prefect.flow_engine' in sys.modules and 'pandas' not in sys.modules; import pandas; pandas.DataFrame"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
