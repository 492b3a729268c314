"""The command line in a process of its own, forked from a server that has imported the libraries.

A command's own work takes tenths of a second, the import of its libraries one (`runs`) or two (`curate`). Of the
project's modules `models.processes.isolation` alone is imported ahead, so that engines are forked too: every command
executes the others itself, `flows/__main__.py` as `__main__`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = (
    "alembic.command",
    "pandas",
    "prefect.artifacts",
    "prefect.flow_engine",
    "prefect.task_engine",
    "psycopg",
    "pydantic_settings",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "sqlalchemy.orm",
)
MESSAGE_BYTES = 2**17


class Started:
    """A command that was started."""

    def __init__(self, status: int) -> None:
        """Take the descriptor where its keeper tells of it."""
        self._answers = os.fdopen(status)
        self.process_id = int(self._answers.readline())

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; its exit status."""
        with self._answers:
            if not select.select([self._answers], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired(str(self.process_id), timeout_s)
            return int(self._answers.readline())


class ForkServer:
    """Runs commands as `subprocess.run([python, "-m", "flows", …])` does; several threads may ask at once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start the server with the environment of the commands: Prefect reads its settings when it is imported."""
        self._socket, far_end = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with far_end:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(far_end.fileno())], env=environment, pass_fds=[far_end.fileno()]
            )

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            started = self.start(arguments, cwd=cwd, env=env, output=output.fileno(), errors=errors.fileno())
            try:
                status_code = started.wait(timeout_s)
            except BaseException:
                os.kill(started.process_id, signal.SIGKILL)
                raise
            texts = [(file.seek(0), file.read())[1] for file in (output, errors)]
        return subprocess.CompletedProcess(list(arguments), status_code, *texts)

    def start(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: int, errors: int
    ) -> Started:
        """Start one command, its streams at these descriptors."""
        message = json.dumps({"arguments": arguments, "folder": str(cwd), "environment": dict(env)}).encode()
        status, far_status = os.pipe()
        socket.send_fds(self._socket, [message], [output, errors, far_status])
        os.close(far_status)
        return Started(status)

    def close(self) -> None:
        """End the server."""
        self._socket.close()
        self._process.wait(timeout=30)


def serve(requests: socket.socket) -> list[str]:
    """Answer requests until the other end is closed; returns only in a forked command, with its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the keepers below leave nothing to wait for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest and for the commands
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 3)
        if not message:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if process_id := os.fork():
                keep(process_id, descriptors[2])
            return become(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def keep(process_id: int, status: int) -> NoReturn:
    """Tell the command's process id, wait for its end, tell its exit status."""
    os.write(status, f"{process_id}\n".encode())
    ended = os.waitpid(process_id, 0)[1]
    os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def become(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    """Stand where a fresh interpreter would: its streams, environment, folder and path."""
    for target, descriptor in enumerate(descriptors[:2], start=1):
        os.dup2(descriptor, target)
    for descriptor in descriptors:
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    arguments: list[str] = request["arguments"]
    return arguments


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from engine_processes import use_engine_server

    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # or the first collection in a command, its exit's at the latest, would copy all that was imported
    sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    use_engine_server()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # Prefect waits up to a second at each flow's end for the thread of its heartbeat, the first of which says all.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        runpy.run_module("flows", run_name="__main__", alter_sys=True)
