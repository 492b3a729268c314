"""deployments.yaml on a real Prefect server and worker: the schedule makes runs, a run started by the API curates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest
from conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def prefect(prefect_server, settings):
    """Run Prefect's own command line against the tests' server, in the project's folder."""
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PWD": str(ROOT)}
    environment["PREFECT_WORKER_QUERY_SECONDS"] = "1"

    def command(*arguments):
        return [sys.executable, "-m", "prefect", "--no-prompt", *arguments], environment

    return command


@pytest.fixture
def deployed(prefect):
    for arguments in (
        ("work-pool", "create", "antipode", "--type", "process", "--overwrite"),
        ("deploy", "--prefect-file", "deployments.yaml", "--all"),
    ):
        command, environment = prefect(*arguments)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def eventually(ask, what, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.5)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def test_the_nightly_schedule_makes_scheduled_runs(deployed, prefect_server):
    deployment = httpx.get(f"{prefect_server}/deployments/name/curate/nightly").json()
    of_deployment = {"deployments": {"id": {"any_": [deployment["id"]]}}}

    def scheduled():
        runs = httpx.post(f"{prefect_server}/flow_runs/filter", json=of_deployment).json()
        return [run for run in runs if run["state_type"] == "SCHEDULED" and run["auto_scheduled"]]

    assert eventually(scheduled, "a scheduled run")


def test_a_run_started_through_the_api_curates(deployed, antipode, prefect, prefect_server, tmp_path):
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Number {n}?"}) + "\n" for n in range(10)))
    antipode("import", "prompts.jsonl")
    deployment = httpx.get(f"{prefect_server}/deployments/name/curate/manual").json()
    create = f"{prefect_server}/deployments/{deployment['id']}/create_flow_run"
    refused = httpx.post(create, json={"parameters": {"config": {"generate": {"temperature": 9}}}})
    assert refused.status_code == 409 and "temperature" in refused.text
    config = {"name": "from the UI", "generate": {"backend": "scripted"}, "embed": {"backend": "hashed"}}
    run = httpx.post(create, json={"parameters": {"config": config}}).json()

    command, environment = prefect("worker", "start", "--pool", "antipode", "--type", "process")
    worker = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:

        def ended():
            state = httpx.get(f"{prefect_server}/flow_runs/{run['id']}").json()["state"]
            return state if state["type"] in {"COMPLETED", "FAILED", "CRASHED"} else None

        assert eventually(ended, "the end of the run")["type"] == "COMPLETED"
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    assert httpx.get(f"{prefect_server}/flow_runs/{run['id']}").json()["name"] == "curate from the UI"
    assert len(antipode("pairs", "--run", "from the UI", "--format", "jsonl").stdout.splitlines()) == 40
