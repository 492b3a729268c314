"""Everything on one machine: Prefect server, deployments, worker, labelling page; one Ctrl-C stops all of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from flows.processes.announced_server import announced
from flows.processes.child_process import LOOPBACK, StalledError, answers, start_module, wait_while_working
from flows.processes.engine import require_folder
from flows.service.deploying import SilentServerError, deploy, set_nightly
from flows.service.worker import worker_name
from models.processes.ray_cluster import Cluster, look, own_cluster
from tasks.config.service import POOL
from tasks.progress import say
from tasks.settings import Settings

POLL_S = 0.3
LOG_TAIL_LINES = 15
RAY_STARTED = b"Ray runtime started"
RAY_ANSWER_S = 60.0
LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"


class StartError(RuntimeError):
    """A part did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the processes that run together."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path


def run_service(
    *,
    prefect_port: int,
    page_port: int,
    people: Sequence[str],
    lead: str | None,
    nightly: str | None,
    model: str | None,
    has_ray: bool,
    on_ready: Callable[[Cluster | None], None],
) -> None:
    """Start everything, call `on_ready` once all of it answers, and run until Ctrl-C or SIGTERM; then stop everything.

    `nightly` is the source whose nightly curation is switched on; `model` is its model, and that of training on labels.
    `has_ray`: the worker loads models on the Ray cluster of RAY_ADDRESS, which `on_ready` is told; without it one of
    this machine alone is started, and ended with the rest.

    Raises:
        StartError: If a port is taken, or a part does not start or ends by itself.
        NoClusterError: If RAY_ADDRESS names a cluster that does not answer.
    """
    for name, port, option in (("Prefect server", prefect_port, "prefect"), ("labelling page", page_port, "page")):
        _require_free(name, port, option)
    settings = Settings()
    address = f"http://{LOOPBACK}:{prefect_port}"
    environment = _environment(settings, address, page_port)
    os.environ.update(environment)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the second: its terminal was closed
        signal.signal(number, _interrupt)
    require_folder(Path(environment["PREFECT_HOME"]), "set ANTIPODE_ARTIFACT_ROOT to a folder that can hold it")
    with ExitStack() as stack:
        start = _starter(stack, settings.artifact_root / "logs", environment)
        page = (
            *_antipode("web", "--every_queue"),
            "--port",
            str(page_port),
            "--annotators",
            ",".join(people),
            *(() if lead is None else ("--lead", lead)),
        )
        server = ("prefect", "server", "start", "--host", LOOPBACK, "--port", str(prefect_port))
        parts = [start("prefect-server", server), start("page", page)]
        say("starting the Prefect server and the labelling page (10 s, the first time longer)")
        _wait_for(parts, parts[0], lambda: answers(prefect_port, "/api/health"))
        _end_open_flow_runs()
        say("deploying the flows")
        try:
            deploy()
        except SilentServerError as error:
            say(f"{error}; starting it anew")
            _end(parts[0].process)
            parts[0] = start("prefect-server", server)
            _wait_for(parts, parts[0], lambda: answers(prefect_port, "/api/health"))
            deploy()
        set_nightly(nightly, model)
        cluster = None
        if has_ray:
            cluster = _joined_cluster(start, parts, environment)
        say("starting the worker")
        worker = start("worker", _antipode("worker"))
        parts.append(worker)
        _wait_for(parts, parts[1], lambda: answers(page_port, "/health"))
        _wait_for(parts, worker, lambda: _is_online(worker))
        _sweep_now()
        stack.enter_context(announced(environment["PREFECT_API_URL"], settings.artifact_root))
        on_ready(cluster)
        with suppress(KeyboardInterrupt):
            while True:
                _require_alive(parts)
                time.sleep(POLL_S)
        say("stopping")


def _environment(settings: Settings, address: str, page_port: int) -> dict[str, str]:
    """What all parts share. Prefect's own things lie beside the project's: a person's profile is left alone."""
    if "PREFECT_API_URL" in os.environ:
        server = os.environ["PREFECT_API_URL"]
        say(f"this starts a Prefect server of its own; for {server}: antipode deploy, antipode worker, antipode web")
    home = (settings.artifact_root / "prefect").resolve()
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_MEMO_STORE_PATH": str(home / "memo_store.toml"),  # else in ~/.prefect, whatever PREFECT_HOME says
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # In memory, a restart of the server would lose who holds a slot, and keep the slot taken for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
        "ANTIPODE_PAGE_URL": settings.page_url or f"http://{LOOPBACK}:{page_port}",
        **settings.variables(),
    }


def _antipode(*arguments: str) -> tuple[str, ...]:
    return ("flows", *arguments)


def _starter(stack: ExitStack, logs: Path, environment: Mapping[str, str]) -> Callable[[str, Sequence[str]], Part]:
    """A function that starts a part, which the stack ends: the last one first."""
    logs.mkdir(parents=True, exist_ok=True)
    logs.chmod(0o700)  # people's sign-in links are in the page's

    def start(name: str, module: Sequence[str]) -> Part:
        log_path = logs / f"{name}.log"
        with log_path.open("wb") as log:
            # Ctrl-C in the terminal reaches this process alone, which stops the others in order.
            process = start_module(module, environment=os.environ | environment, log=log)
        stack.callback(_end, process)
        return Part(name, process, log_path)

    return start


def _joined_cluster(
    start: Callable[[str, Sequence[str]], Part], parts: list[Part], environment: dict[str, str]
) -> Cluster:
    """The Ray cluster that the worker is to use, as `environment` says from now on; started, where there is none."""
    environment["ANTIPODE_ENGINE"] = "ray"
    if not os.environ.get("RAY_ADDRESS"):
        say("starting a Ray cluster on this machine (some 15 s)")
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            command, own = own_cluster(probe.getsockname()[1])
        environment |= own
        os.environ |= own
        parts.append(start("ray", command))
        _wait_for(parts, parts[-1], lambda: RAY_STARTED in parts[-1].log_path.read_bytes())
    say("asking the Ray cluster what it has")
    return look(RAY_ANSWER_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a part and all that it started.

    A worker outlives a SIGTERM, for minutes if a run is under way. What a run has stored is stored; the sweep of the
    next start takes it up.
    """
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)
    process.wait()


def _wait_for(parts: Sequence[Part], awaited: Part, is_ready: Callable[[], bool]) -> None:
    try:
        wait_while_working(awaited.name, awaited.process.pid, is_ready, require_alive=lambda: _require_alive(parts))
    except StalledError as error:
        raise StartError(f"{error}; its log: {awaited.log_path}") from error


def _require_alive(parts: Sequence[Part]) -> None:
    for part in parts:
        if part.process.poll() is not None:
            tail = "\n".join(part.log_path.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:])
            raise StartError(f"{part.name} has ended; the end of its log ({part.log_path}):\n{tail}")


def _require_free(name: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((LOOPBACK, port)) == 0:
            raise StartError(
                f"port {port} is taken, the {name} needs it; is antipode up running already? else give another: "
                f"--{option}_port"
            )


def _end_open_flow_runs() -> None:
    """Mark flow runs that an earlier stop has killed as crashed: nothing else does, and they hold slots."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed

    is_open = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}})
    with get_client(sync_client=True) as client:
        while flow_runs := client.read_flow_runs(flow_run_filter=is_open):
            for run in flow_runs:
                client.set_flow_run_state(run.id, Crashed(message="its worker was stopped"), force=True)


def _is_online(worker: Part) -> bool:
    """Whether this worker polls; its name holds its process id, since a killed worker stays online for a while."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        name = worker_name(worker.process.pid)
        return any(listed.name == name for listed in client.read_workers_for_work_pool(POOL))


def _sweep_now() -> None:
    """Run the sweep at once: resume runs that an earlier stop left, and train on labels that came meanwhile."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(client.read_deployment_by_name("sweep/regular").id)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
