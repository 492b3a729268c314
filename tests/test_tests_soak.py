"""The soak's short form: kills of every act on both databases, outages of one. `make soak` is the long one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest
from surroundings import ROOT

SQLITE = [
    "--databases",
    "SQLite",
    "--point-kills",
    "3",
    "--moment-kills",
    "1",
    "--slow-share",
    "0.34",
    "--outages",
    "0",
]
POSTGRESQL = ["--databases", "PostgreSQL", "--point-kills", "1", "--moment-kills", "0", "--slow-share", "0"]
OUTAGES = ["--databases", "--outages", "1", "--outage-s", "1", "--only", "curate", "label: judge"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([*SQLITE, "--outages", "0"], id="SQLite"),
        pytest.param([*POSTGRESQL, "--outages", "0"], id="PostgreSQL", marks=pytest.mark.postgres),
        pytest.param(OUTAGES, id="outages", marks=pytest.mark.postgres),
    ],
)
def test_what_is_killed_and_given_again_equals_its_undisturbed_twin(arguments):
    command = [sys.executable, "-m", "tests.soak", *arguments]
    environment = os.environ | {"TMPDIR": os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-6_000:]}\n{done.stderr[-6_000:]}"
    assert '"wrong": []' in done.stdout
