"""A command beside `antipode up`: its run and its log are on the server of that one, and its terminal stays quiet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest
from refusals import SCRIPTED
from stored_rows import add, row
from surroundings import ROOT, on_sqlite

from flows.processes.announced_server import announced, announced_address

HOLD = """
import sys, time; from pathlib import Path
from flows.processes.announced_server import announced
with announced("http://there/api", Path(sys.argv[1])):
    print("held", flush=True); time.sleep(600)
"""


def test_an_address_is_announced_as_long_as_its_process_lives_however_it_ends(tmp_path):
    assert announced_address(tmp_path) is None
    with announced("http://here/api", tmp_path):
        assert announced_address(tmp_path) == "http://here/api"
        with announced("http://another/api", tmp_path):
            assert announced_address(tmp_path) == "http://here/api"
    assert announced_address(tmp_path) is None and list(tmp_path.iterdir()) == []
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert announced_address(tmp_path) == "http://there/api"
        process.send_signal(signal.SIGKILL)
    assert announced_address(tmp_path) is None, "the file of the killed one says nothing"


@pytest.mark.slow
@on_sqlite
def test_a_commands_run_and_log_are_on_the_announced_server_and_not_on_the_terminal(
    settings, sessions, prefect_server, tmp_path
):
    add(sessions, row(1, "Prompt?"))
    without = ("PREFECT_API_URL", "PREFECT_LOGGING_LEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    environment |= settings.variables() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows", "curate", *SCRIPTED, "--name", "announced"]
    with announced(prefect_server, settings.artifact_root):
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"the run is shown at {prefect_server.removesuffix('/api')}" in ended.stderr
    named = {"flow_runs": {"name": {"any_": ["curate announced"]}}}
    [run] = httpx.post(f"{prefect_server}/flow_runs/filter", json=named).json()
    of_run = {"logs": {"flow_run_id": {"any_": [run["id"]]}}}
    messages = [log["message"] for log in httpx.post(f"{prefect_server}/logs/filter", json=of_run).json()]
    assert any("Finished in state Completed" in message for message in messages), messages
    told = next(message for message in messages if message.startswith("index of responses"))
    assert told in ended.stderr, "what is said between two bars is told in both places"
    assert "Finished in state" not in ended.stderr and "Beginning flow run" not in ended.stderr
