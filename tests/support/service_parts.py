"""A Prefect server, workers and the labelling page as processes of the tests' own, by the commands that users give."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
from prefect_databases import fill_prefect_home, keep_new_database
from surroundings import ROOT, answers, free_port, wait_for

from flows.service.up import LEASES_ON_DISK

CONFIG = {"generate": {"backend": "scripted", "responses_per_prompt": 4}, "embed": {"backend": "hashed"}}
BUSY_TRIES = 20
DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def eventually(ask: Callable[[], Any], what: str, timeout_s: float = 240) -> Any:
    """What `ask` answers, as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if answer := ask():
                return answer
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def printed_until_ready(up: subprocess.Popen[str]) -> str:
    """What `antipode up` printed until everything answers; what it printed last, where it ended before."""
    lines: list[str] = []
    while not lines or lines[-1] != "Ctrl-C stops all of them; nothing is lost.\n":
        line = up.stdout.readline()
        assert line, f"it ended by itself: {''.join(lines[-20:])}"
        lines.append(line)
    return "".join(lines)


class Service:
    """The parts, each started and killed by itself; `close` leaves nothing."""

    def __init__(self, folder: Path, variables: Mapping[str, str], *, credentials: str | None = None) -> None:
        """Nothing is started yet. `variables`: the environment of all parts beside the usual one."""
        self.folder = folder
        self.port = free_port()
        self.page_port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/api"
        self.credentials = tuple(credentials.split(":")) if credentials else None
        secrets = {"PREFECT_SERVER_API_AUTH_STRING": credentials, "PREFECT_API_AUTH_STRING": credentials}
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.address,
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **({name: value for name, value in secrets.items() if value}),
            **variables,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a part; its output is in `name`.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def start_server(self) -> subprocess.Popen[bytes]:
        """Start the Prefect server, and wait until it answers."""
        command = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        home, has_own_database = self.folder / "prefect", DATABASE in self.environment
        if not has_own_database:
            fill_prefect_home(home)
        process = self.start("server", *command)
        wait_for(lambda: answers(f"{self.address}/health"), "the Prefect server")
        if not has_own_database:
            keep_new_database(home)
        self.server = process
        return process

    def deploy(self) -> None:
        """Deploy everything, as `antipode deploy` does; a server that blocks itself is started anew, as it advises."""
        done = self.run("flows", "deploy")
        if "has stopped answering" in done.stderr:
            kill_family(self.server.pid)
            self.server.wait()
            self.start_server()
            done = self.run("flows", "deploy")
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a worker; it polls from then on."""
        return self.start("worker", "flows", "worker", *arguments)

    def start_page(self, *people: str) -> dict[str, httpx.Client]:
        """Start the labelling page for all queues; returns everybody's signed-in browser."""
        command = ("--every_queue", "--port", str(self.page_port), "--annotators", ",".join(people))
        self.start("page", "flows", "web", *command)
        wait_for(lambda: answers(f"http://127.0.0.1:{self.page_port}/health"), "the page")
        origin = f"http://127.0.0.1:{self.page_port}"
        printed = (self.folder / "page.log").read_text()
        browsers = {}
        for name, link in re.findall(rf"(\w+): ({re.escape(origin)}/sign-in\?token=\S+)", printed):
            browsers[name] = httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=30)
            assert browsers[name].get(link).status_code == 200
        assert set(browsers) >= set(people), "whoever leads has a link too"
        return {name: browsers[name] for name in people}

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call Prefect's API, as its UI does."""
        for _ in range(BUSY_TRIES):
            answer = httpx.request(method, f"{self.address}{path}", json=body, auth=self.credentials, timeout=90)
            if answer.status_code != 503:  # its SQLite was locked for too long
                break
            time.sleep(1)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by flow and name."""
        found: dict[str, Any] = self.call("GET", f"/deployments/name/{name}")
        return found

    def start_run(self, name: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Start a run of a deployment, as the UI's button does; returns its id."""
        of = self.deployment(name)["id"]
        run = self.call("POST", f"/deployments/{of}/create_flow_run", {"parameters": dict(parameters or {})})
        return str(run["id"])

    def state(self, flow_run_id: str) -> dict[str, Any]:
        """The state of a flow run."""
        state: dict[str, Any] = self.call("GET", f"/flow_runs/{flow_run_id}")["state"]
        return state

    def ended(self, flow_run_id: str, timeout_s: float = 300) -> dict[str, Any]:
        """The state in which a flow run ends."""

        def final() -> dict[str, Any] | None:
            state = self.state(flow_run_id)
            return state if state["type"] in FINAL else None

        state: dict[str, Any] = eventually(final, f"the end of flow run {flow_run_id}", timeout_s)
        return state

    def runs_of(self, name: str, *types: str) -> list[dict[str, Any]]:
        """The flow runs of a deployment, of these state types or of all."""
        of = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}}
        found: list[dict[str, Any]] = self.call("POST", "/flow_runs/filter", of)
        return [run for run in found if not types or run["state_type"] in types]

    def artifacts(self, flow_run_id: str) -> dict[str, Any]:
        """The artifacts of a flow run by key."""
        body = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}}
        return {one["key"]: one for one in self.call("POST", "/artifacts/filter", body)}

    def close(self) -> None:
        """Kill all parts with all that they started."""
        for process in reversed(self._processes):
            kill_family(process.pid)
            process.wait()


def kill_family(process_id: int) -> None:
    """SIGKILL a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process_id)
        for member in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)


def label_all(browser: httpx.Client, person: str, queue_id: int, verdicts: Sequence[str]) -> int:
    """Label a queue at the page, a verdict a pair as they come; returns how many pairs were labelled."""
    pair = browser.get(f"/queues/{queue_id}/pair").json()["pair"]
    count = 0
    for verdict in verdicts:
        if pair is None:
            break
        body = {name: pair[name] for name in ("left_id", "right_id", "shown_at")} | {"person": person}
        answer = browser.post(f"/queues/{queue_id}/verdicts", json=body | {"verdict": verdict, "seconds": 1.0})
        assert answer.status_code == 200, answer.text
        pair = answer.json()["pair"]
        count += 1
    return count
