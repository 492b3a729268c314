"""A Prefect worker of this project: heartbeats, logging, and the limit that guards the host's GPU."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence

from flows.processes.child_process import module_command, watched_parent
from flows.service.deploying import HEARTBEAT_S, ROOT, project_environment, require_server
from tasks.config.service import POOL
from tasks.settings import Settings

POLL_S = 2


def start_worker(*, queues: Sequence[str], limit: int | None) -> None:
    """Become a Prefect worker; does not return.

    Raises:
        DeployError: If the Prefect server does not answer, or refuses us.
    """
    require_server()
    environment = worker_environment(os.environ)
    make_gpu_limit(environment["ANTIPODE_GPU_LIMIT"])
    worker = ("prefect", "worker", "start", "--pool", POOL, "--type", "process")
    command = module_command(worker, parent_id=watched_parent())
    command += [part for queue in queues for part in ("--work-queue", queue)]
    command += [] if limit is None else ["--limit", str(limit)]
    # The health check has one port a machine, so only a worker alone in its machine or container has one.
    command += ["--with-healthcheck"] if "PREFECT_WORKER_WEBSERVER_PORT" in environment else []
    command += ["--name", worker_name(os.getpid())]
    os.chdir(ROOT)
    os.execve(sys.executable, command, environment)


def worker_name(process_id: int) -> str:
    """What the Prefect UI calls the worker of a process on this host."""
    return f"{socket.gethostname()} {process_id}"


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a worker and its runs need beside what is set already."""
    devices = environment.get("CUDA_VISIBLE_DEVICES")
    # A limit for each set of visible devices: workers on different ones do not wait for each other.
    limit = f"gpu-{socket.gethostname()}" + (f"-{re.sub('[^A-Za-z0-9]+', '-', devices)}" if devices else "")
    defaults = {
        "ANTIPODE_GPU_LIMIT": limit,
        "PREFECT_WORKER_QUERY_SECONDS": str(POLL_S),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,models,db",
    }
    return defaults | project_environment(environment) | Settings().variables()


def make_gpu_limit(name: str) -> None:
    """Make the limit of one stage at a time, unless somebody has made it, or another one of its name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError

    with get_client(sync_client=True) as client:
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        except ObjectAlreadyExists:
            return
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 409:
                raise
