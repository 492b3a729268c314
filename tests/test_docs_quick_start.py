"""The quick start, as a newcomer copies it: every block in its order, from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from documented_commands import shell_blocks
from surroundings import ROOT

pytestmark = [pytest.mark.slow]

BLOCKS = shell_blocks(ROOT / "docs" / "quick-start.md")
# What is not run here, and who runs it instead.
ELSEWHERE = {
    "make install": "the environment that runs this test is made by it",
    "antipode web": "serves until Ctrl-C; tests/test_flows_label.py",
    "antipode up": "serves until Ctrl-C; tests/test_flows_service.py",
}


def test_the_quick_start_runs_as_it_stands_and_ends_with_a_file_for_a_trainer(prefect_server, tmp_path):
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_API_URL": prefect_server,
        "PYTHONPATH": str(ROOT),
    }
    environment = {name: value for name, value in environment.items() if not name.startswith("ANTIPODE_")}
    run = [block for block in BLOCKS if not block.startswith(tuple(ELSEWHERE))]
    assert len(BLOCKS) - len(run) == len(ELSEWHERE)
    told = ""
    for block in run:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert ended.returncode == 0, (block, ended.stderr)
        told += ended.stdout
    assert len((tmp_path / "preferences.jsonl").read_text().splitlines()) >= 4
    assert "4 prompts, 16 responses" in told and "Dry run of align" in told
    assert "100 %" in told, "quality shows that the left side was always taken"
