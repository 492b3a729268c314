"""Prefect's temporary server, for one command: the handle on it and, run as a module, the server itself."""

from __future__ import annotations

import atexit
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress

from flows.processes.child_process import LOOPBACK, answers, start_module, wait_while_working
from flows.processes.collection import rarely_collect
from models.processes.isolation import LOG_TAIL_BYTES, LOG_TAIL_LINES

END_S = 5.0
IS_ERROR = re.compile(r"[\w.]*(Error|Exception)\b")
SERVER_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
# No flow here uses a block; else each start looks through all of them, with a note in ~/.prefect even of another home.
SERVER_DEFAULTS = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
}


class ServerStartError(RuntimeError):
    """The temporary server ended before it answered."""


class TemporaryServer:
    """The one handle on the server, which `end` ends at exit; after a SIGKILL, which runs no exit, it ends itself."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; `wait` returns when it answers. Its port is taken here, so that nobody else can."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (`end` closes it)
        self._has_answered = False
        with socket.socket() as listener:
            listener.bind((LOOPBACK, 0))
            self._port: int = listener.getsockname()[1]
            self._process = start_module(
                ("flows.processes.temporary_server", str(listener.fileno())),
                environment=SERVER_DEFAULTS | dict(environment) | SERVER_ENVIRONMENT,
                log=self._log,
                pass_fds=(listener.fileno(),),
            )
        atexit.register(self.end)

    @property
    def address(self) -> str:
        """The address of its API."""
        return f"http://{LOOPBACK}:{self._port}/api"

    def wait(self) -> None:
        """Wait until it answers, as long as it lives and works.

        Raises:
            ServerStartError: If it has ended.
            StalledError: If it does nothing.
        """
        wait_while_working(
            "Prefect's temporary server",
            self._process.pid,
            lambda: answers(self._port, "/api/health"),
            require_alive=self._require_alive,
        )
        self._has_answered = True

    def end(self) -> None:
        """End it: in order if it has answered, else at once. Safe to call twice."""
        atexit.unregister(self.end)
        if self._has_answered:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # who interrupts again waits no longer
                self._process.wait(timeout=END_S)
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _require_alive(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        cause = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        lines = self._log_lines()
        errors = [line for line in lines if IS_ERROR.match(line)]
        reason = (errors or lines or ["its log is empty"])[-1]
        # The command line shows the first line, and all of them with its traceback.
        tail = "\n".join(lines[-LOG_TAIL_LINES:])
        raise ServerStartError(
            f"Prefect's temporary server ended while it started ({cause}): {reason}; PREFECT_HOME names its "
            f"database's folder, PREFECT_API_URL a lasting server\nThe end of its log:\n{tail}"
        )

    def _log_lines(self) -> list[str]:
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - LOG_TAIL_BYTES)
        text = os.pread(self._log.fileno(), size - start, start).decode("utf-8", "replace")
        return [line for line in text.splitlines() if line.strip()]


def serve(descriptor: int) -> None:
    """Answer at the socket that was handed down, until SIGTERM."""
    import uvicorn

    rarely_collect()
    app = "prefect.server.api.server:create_app"
    server = uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on"))
    with socket.socket(fileno=descriptor) as listener:
        server.run(sockets=[listener])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
