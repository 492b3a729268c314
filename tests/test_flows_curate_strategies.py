"""Strategies of a user's own through the command line, on a real Prefect server: a package's and a file's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from strategy_plugins import FILE, install_package
from surroundings import ROOT, on_sqlite

SCRIPTED = ("--generate.backend", "scripted", "--embed.backend", "hashed", "--generate.responses_per_prompt", "4")


@pytest.fixture
def command(settings, prefect_server, tmp_path):
    """The command line in a fresh interpreter that has the package on its path."""
    (tmp_path / "site").mkdir()
    install_package(tmp_path / "site")
    paths = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PYTHONPATH": paths, "COLUMNS": "200"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return run


@on_sqlite
def test_a_package_and_a_file_select_pairs_from_the_command_line(command, tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Number {n}?"}) + "\n" for n in range(8)))
    assert command("import", "prompts.jsonl").returncode == 0
    names = "middling,dice,easy"
    done = command("curate", *SCRIPTED, "--select.strategies", names, "--select.strategy_files", "mine.py")
    assert done.returncode == 0, done.stderr
    for name in names.split(","):
        shown = command("pairs", "--strategy", name, "--format", "jsonl")
        assert len(shown.stdout.splitlines()) == 8, shown.stderr
    queued = command("label", "--annotator", "people", "--pairs.strategies", "dice")
    assert "8 different pairs of run 1 wait for people" in queued.stdout, queued.stderr
    wrong = command("curate", *SCRIPTED, "--select.strategies", "dise")
    assert wrong.returncode != 0
    assert wrong.stderr.splitlines()[-1].startswith(
        "antipode: there is no strategy 'dise'; did you mean dice? there are: easy, hard, centroid, random"
    )
    assert "Traceback" not in wrong.stderr
