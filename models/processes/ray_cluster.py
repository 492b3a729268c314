"""Where Ray's cluster is: the one of RAY_ADDRESS, else one of this machine alone. Knows no backend.

Ray is imported when it is first needed (extra `ray`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any, NamedTuple

LOOPBACK = "127.0.0.1"
WAIT_S = 30.0  # for a cluster that is just being started
ANSWER_S = 120.0  # for one that listens: a busy host imports Ray for half a minute
_PAUSE_S = 1.0
# Ray's own name for it: without this it replaces 127.0.0.1 by the address at which other machines reach this one.
ONLY_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
UNTOLD = {"RAY_USAGE_STATS_ENABLED": "0"}
_PROBE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from models.processes.ray_cluster import connected
ray = connected(is_answering=True)
held = ray.cluster_resources()
nodes = sum(node["Alive"] for node in ray.nodes())
context = ray.get_runtime_context()
found = {"address": context.gcs_address, "nodes": nodes, "gpus": held.get("GPU", 0.0), "cores": held.get("CPU", 0.0)}
print(json.dumps(found | {"dashboard": ray._private.worker.get_dashboard_url() or None}))
"""


class RayMissingError(RuntimeError):
    """Ray is not installed."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted} needs the extra `ray`: pip install -e '.[ray]'")


class NoClusterError(ConnectionError):
    """No Ray cluster answers."""


class Cluster(NamedTuple):
    """A cluster that answers.

    Attributes:
        address: host and port.
        dashboard: its host and port; None where it has none (Ray's own extra `default` brings it).
    """

    address: str
    nodes: int
    gpus: float
    cores: float
    dashboard: str | None

    def __str__(self) -> str:
        """All of it in a few words."""
        nodes = "1 node" if self.nodes == 1 else f"{self.nodes} nodes"
        dashboard = "no dashboard: pip install 'ray[default]'" if self.dashboard is None else f"http://{self.dashboard}"
        return f"{self.address}   {nodes}, {self.gpus:g} GPUs, {self.cores:g} cores; {dashboard}"


def require_ray(wanted: str) -> None:
    """Raise RayMissingError, which begins with what is wanted, where Ray is not installed."""
    try:
        is_there = importlib.util.find_spec("ray") is not None
    except ValueError:  # somebody has hidden it
        is_there = False
    if not is_there:
        raise RayMissingError(wanted)


def connected(*, is_answering: bool = False) -> Any:
    """Ray, connected to its cluster.

    Args:
        is_answering: the cluster of RAY_ADDRESS is known to answer, or a process of its own asks: Ray itself tries for
            a quarter of an hour, and tells the terminal of it.

    Raises:
        RayMissingError: If it is not installed.
        NoClusterError: If the cluster of RAY_ADDRESS does not answer, or refuses us.
    """
    require_ray("ANTIPODE_ENGINE=ray")
    if is_own := not os.environ.get("RAY_ADDRESS"):
        os.environ.update(ONLY_LOOPBACK)  # read when Ray is imported
        if "ray" not in sys.modules:  # it reads its token once
            # Or Ray writes one for the user's home, and every cluster that is started later asks for it.
            os.environ.update({name: value for name, value in _own_token().items() if name not in os.environ})
    import ray
    import ray.exceptions

    if not ray.is_initialized():
        for name, value in UNTOLD.items():
            os.environ.setdefault(name, value)
        # "local", or Ray takes whatever cluster was started last on this machine, by anybody.
        local = {"address": "local", "include_dashboard": False, "_node_ip_address": LOOPBACK}
        own: dict[str, Any] = local if is_own else {}
        if not is_own:
            _require_listener(os.environ["RAY_ADDRESS"])
            if not is_answering:
                look(ANSWER_S)
        ray.init(log_to_driver=False, configure_logging=False, **own)
    return ray


def _require_listener(address: str) -> None:
    """Raise NoClusterError if an address that is a host and a port takes no connection."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host:  # "auto", or a URL: Ray knows what is meant
        return
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT_S).close()
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            raise NoClusterError(
                f"the Ray cluster at RAY_ADDRESS={address} does not answer ({error}); start it (ray start --head), or "
                "correct RAY_ADDRESS, and give the same command again"
            ) from error
        return


def own_cluster(port: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """What starts a cluster of this machine alone: a module with its arguments, and what it and its users must know.

    The module stays until it is ended. Others on this machine cannot use the cluster: it has a token of its own.
    """
    start = ("start", "--head", "--block", "--node-ip-address", LOOPBACK, "--port", str(port))
    environment = {"RAY_ADDRESS": f"{LOOPBACK}:{port}", **_own_token(), **ONLY_LOOPBACK, **UNTOLD}
    return ("ray.scripts.scripts", *start), environment


def _own_token() -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def look(timeout_s: float) -> Cluster:
    """The cluster of RAY_ADDRESS, asked by a process of its own: Ray ends the one that it cannot connect.

    Raises:
        NoClusterError: If it does not answer in time, or refuses us.
    """
    command = [sys.executable, "-P", "-c", _PROBE, json.dumps(sys.path)]
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True) as asked,
    ):
        try:
            found = _found(asked, told.fileno(), timeout_s)
        finally:
            asked.kill()
    return Cluster(**json.loads(found.splitlines()[-1]))


def _found(asked: subprocess.Popen[str], told: int, timeout_s: float) -> str:
    """What a process that asks the cluster has printed; it is not waited for while Ray tries a token again."""
    address, deadline = os.environ["RAY_ADDRESS"], time.monotonic() + timeout_s
    cluster = f"the Ray cluster at RAY_ADDRESS={address}"
    while True:
        with suppress(subprocess.TimeoutExpired):
            found, _ = asked.communicate(timeout=_PAUSE_S)
            if asked.returncode == 0:
                return found
        # Not `seek`: the process writes where its file stands.
        lines = os.pread(told, os.fstat(told).st_size, 0).decode("utf-8", "replace").strip().splitlines()
        if any("InvalidAuthToken" in line for line in lines):
            raise NoClusterError(
                f"{cluster} takes no token but its own: set RAY_AUTH_MODE=token here, with its ~/.ray/auth_token, or "
                "RAY_AUTH_TOKEN"
            )
        if asked.returncode is not None:
            last = lines[-1:] or [f"ended with status {asked.returncode}"]
            raise NoClusterError(f"{cluster} cannot be used: {last[0]}")
        if time.monotonic() > deadline:
            raise NoClusterError(f"{cluster} gives no answer within {timeout_s:g} s")
