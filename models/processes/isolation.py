"""A backend in a process of its own: built there, called over a pipe, ended with everything it started.

An engine gives its memory back reliably only by ending; those of plain torch may follow each other in one process
(`models.processes.shared_process`). This file knows no engine; it runs any class or function that can be imported by
name, and forwards its methods.

    with IsolatedProcess(VllmGenerator, {"model": "…", …}, log_path=Path("run.log"), timeout_s=3600) as process:
        responses = process.call("generate", requests)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Any, Protocol

from models.errors import ProcessDiedError
from models.processes.isolated_host import Build, Call, Failure, Vacate

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from models.processes.isolated_host import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)
_POLL_S = 0.2  # a dead process is noticed at once by the end of its pipe, or after this time if a grandchild holds it
_VACATE_S = 60.0
LOG_TAIL_BYTES, LOG_TAIL_LINES = 8192, 20
# Threads that spin while they wait take the core from the thread they wait for, if others need the core too: the
# first 2,048 responses took 12.0 s to embed beside another busy process, and 2.6 s with threads that sleep.
_PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


class IsolatedProcess:
    """Builds `build(**arguments)` in a fresh Python process and forwards calls to it, one at a time.

    The process has a session of its own: Ctrl-C in the terminal does not reach it, and `close` ends it together with
    all it started. It also ends itself within a second when this process dies, even by SIGKILL.
    """

    def __init__(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> None:
        """Start the process and wait until the backend is built.

        Args:
            build: A class or function that an `import` finds by name (not one defined in `__main__`).
            arguments: Keyword arguments of `build`; they are pickled.
            log_path: Where the process's stdout and stderr are appended; None keeps them only for error messages.
            timeout_s: Limit for the start and for each call, in seconds; None waits for ever.

        Raises:
            ProcessDiedError: The process ended while it was building.
            TimeoutError: It took longer than `timeout_s`; the process has been ended.
            Exception: Whatever `build` raised, with its type where this process knows the type.
        """
        self._lock, self._closing = threading.Lock(), threading.Lock()
        self._timeout_s = timeout_s
        self._log = _open_log(log_path)
        self._connection, far_end = Pipe()
        self._process = _start(far_end, self._log)
        far_end.close()
        self._build(build, arguments, log_path, timeout_s)

    def replace(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> None:
        """Give up the backend and build another in the same process; arguments and errors as at the start."""
        with self._lock:
            if log_path is not None:
                self._log.close()
                self._log = _open_log(log_path)
            self._build(build, arguments, log_path, timeout_s)

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the backend and return what it returns; arguments and result are pickled.

        Raises:
            ProcessDiedError: The process is dead or closed, or died during the call.
            TimeoutError: No answer within `timeout_s`; the process has been ended.
            Exception: Whatever the method raised; the backend lives on.
        """
        with self._lock:
            return self._exchange(Call(method, arguments), f"answer {self._name}.{method}", ends_on_error=False)

    def vacate(self) -> None:
        """Give up the backend and its memory; the process waits for the next one.

        Raises:
            ProcessDiedError: The process is dead or closed.
            TimeoutError: It took longer than a minute; the process has been ended.
        """
        with self._lock:
            self._timeout_s = _VACATE_S
            self._exchange(Vacate(), f"give {self._name} up", ends_on_error=True)

    @property
    def has_ended(self) -> bool:
        """Whether the process was ended, by `close`, by a failure or by somebody else."""
        return self._connection.closed or self._process.poll() is not None

    @property
    def is_busy(self) -> bool:
        """Whether a call waits for its answer."""
        return self._lock.locked()

    def close(self) -> None:
        """End the process and all it started, at once. Safe to call twice, by several threads too."""
        with self._closing:
            if self._connection.closed:
                return
            # The group outlives its leader while a grandchild lives, hence the kill even when the leader is gone.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._connection.close()
            self._log.close()

    def __enter__(self) -> IsolatedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _build(
        self, build: Callable[..., object], arguments: Mapping[str, Any], log_path: Path | None, timeout_s: float | None
    ) -> None:
        self._name = getattr(build, "__qualname__", repr(build))
        self._timeout_s = timeout_s
        self._log_path = log_path
        self._log_start = self._log.seek(0, os.SEEK_END)
        log = None if log_path is None else str(log_path.resolve())
        self._exchange(Build(build, dict(arguments), log), f"start {self._name}", ends_on_error=True)

    def _exchange(self, message: object, task: str, *, ends_on_error: bool) -> Any:
        """Send a message and wait for its answer; an interruption ends the process, since nobody reads the answer."""
        if self._connection.closed:
            raise ProcessDiedError(f"{self._name} cannot {task}: it was closed; start a new one", self._exit_code())
        try:
            answer = self._send_and_wait(message, task)
        except BaseException:
            self.close()
            raise
        if isinstance(answer, Failure):
            if ends_on_error:
                self.close()
            raise answer.to_exception()
        return answer

    def _send_and_wait(self, message: object, task: str) -> Any:
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        try:
            self._connection.send(message)
            while not self._connection.poll(_POLL_S):
                if self._process.poll() is not None and not self._connection.poll():
                    raise EOFError
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{self._name} did not {task} within {self._timeout_s:g} s and was ended; raise the time limit "
                        f"or send less at once.{self._log_tail()}"
                    )
            return self._connection.recv()
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:  # OSError: another thread closed it
            raise self._died_error(task) from error

    def _died_error(self, task: str) -> ProcessDiedError:
        code = self._exit_code()
        cause = f"exit code {code}" if code >= 0 else f"signal {-code}, {signal.Signals(-code).name}"
        hint = "; out of memory is the usual cause" if code == -signal.SIGKILL else ""
        return ProcessDiedError(
            f"the process of {self._name} ended ({cause}{hint}) before it could {task}.{self._log_tail()}", code
        )

    def _exit_code(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=5)
        # The pipe ended but the process did not: it closed its own end and can never answer again.
        self._process.kill()
        return self._process.wait()

    def _log_tail(self) -> str:
        if self._log.closed:  # another thread gave the process up
            return ""
        end = os.fstat(self._log.fileno()).st_size
        start = max(self._log_start, end - LOG_TAIL_BYTES)
        text = os.pread(self._log.fileno(), end - start, start).decode("utf-8", "replace").strip()
        lines = "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
        where = f" (whole log: {self._log_path})" if self._log_path is not None else ""
        return f" The end of its log{where}:\n{lines}" if lines else " Its log is empty."


class BackendProcess(Protocol):
    """A process that answers for a backend."""

    def call(self, method: str, *arguments: Any) -> Any:
        """As `IsolatedProcess.call`."""
        ...

    def close(self) -> None:
        """Give the backend up, and its memory with it."""
        ...


class StartsBackend(Protocol):
    """What starts a backend: `IsolatedProcess`, or `SharedProcess.start`."""

    def __call__(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> BackendProcess:
        """As `IsolatedProcess`."""
        ...


class Backends(Protocol):
    """Where backends are started: on this host, or on a cluster."""

    @property
    def at_once(self) -> int:
        """How many models a backend is, among which a call's items are shared out."""
        ...

    @property
    def start(self) -> StartsBackend:
        """Start one of plain torch, which others may follow in its process."""
        ...

    @property
    def start_alone(self) -> StartsBackend:
        """Start one that needs processes of its own."""
        ...


def _open_log(log_path: Path | None) -> IO[bytes]:
    if log_path is None:
        return tempfile.TemporaryFile()
    log_path.parent.mkdir(parents=True, exist_ok=True)
    return log_path.open("a+b")


def _start(far_end: Connection, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """A fresh interpreter rather than `multiprocessing`: it imports no `__main__`, whoever started us."""
    descriptor = far_end.fileno()
    command = [sys.executable, "-u", "-c", _START, json.dumps(sys.path), str(descriptor), str(os.getpid())]
    return subprocess.Popen(
        command,
        env=_PATIENT_THREADS | os.environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[descriptor],
        start_new_session=True,
    )
