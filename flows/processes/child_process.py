"""Processes that end with this one, however it ends, and the wait until they answer. Knows no Prefect."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import IO

from models.processes.isolated_host import watch_parent
from tasks.progress import say

LOOPBACK = "127.0.0.1"
POLL_S = 0.2
SAY_EVERY_S = 5.0
STALLED_S = 120.0  # without a moment of a core; the busiest machine gives one in that time
ANSWER_S = 5.0
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from flows.processes.child_process import run_module; run_module(int(sys.argv[2]), sys.argv[3:])"
)

_parent_id: int | None = None


class StalledError(RuntimeError):
    """A process that is to answer does nothing."""


def module_command(module: Sequence[str], *, parent_id: int | None) -> list[str]:
    """The command that runs a module with its arguments; the process ends with its parent (None: outlives it)."""
    if parent_id is None:
        return [sys.executable, "-m", *module]
    return [sys.executable, "-c", START, json.dumps(sys.path), str(parent_id), *module]


def start_module(
    module: Sequence[str], *, environment: Mapping[str, str], log: IO[bytes], pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a module in a process that ends within a second of this one, even of its SIGKILL.

    It has a session of its own, out of reach of the terminal's Ctrl-C, and none of this process's streams: whoever
    reads those would wait for its end too.
    """
    return subprocess.Popen(
        module_command(module, parent_id=os.getpid()),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def run_module(parent_id: int, module: Sequence[str]) -> None:
    """The process's side: become the module, and end with the parent."""
    global _parent_id  # noqa: PLW0603 (the module that is run asks for it)
    _parent_id = parent_id
    watch_parent(parent_id)
    sys.argv[1:] = module[1:]
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)


def watched_parent() -> int | None:
    """The process with which this one ends, to be handed on where it becomes another program."""
    return _parent_id


def wait_while_working(
    name: str, process_id: int, is_ready: Callable[[], bool], *, require_alive: Callable[[], None]
) -> None:
    """Wait for a process until it is ready, as long as it uses the cores; say so every few seconds.

    Raises:
        StalledError: If it has used none for two minutes.
        Exception: What `require_alive` raises.
    """
    started_at = said_at = worked_at = time.monotonic()
    core_seconds = 0.0
    while not is_ready():
        require_alive()
        now = time.monotonic()
        if (used := _core_seconds(process_id)) > core_seconds:
            core_seconds, worked_at = used, now
        elif now - worked_at > STALLED_S:
            raise StalledError(
                f"{name} (process {process_id}) does not answer and has done nothing for {STALLED_S:g} s"
            )
        if now - said_at > SAY_EVERY_S:
            say(f"{name} is still starting, {now - started_at:.0f} s")
            said_at = now
        time.sleep(POLL_S)


def answers(port: int, path: str) -> bool:
    """Whether something on this machine answers a GET with 200; no proxy is asked."""
    connection = HTTPConnection(LOOPBACK, port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _core_seconds(process_id: int) -> float:
    import psutil

    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(process_id).cpu_times()
        return float(times.user + times.system)
    return 0.0
