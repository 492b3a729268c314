"""The side of `models.processes.isolation` that runs in the process: holds a backend, and answers for it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple


class Build(NamedTuple):
    """Asks for a backend; its output goes to the log of this path, None for the one that the process began with."""

    build: Callable[..., object]
    arguments: dict[str, Any]
    log_path: str | None


class Call(NamedTuple):
    """Asks the backend."""

    method: str
    arguments: tuple[Any, ...]


class Vacate(NamedTuple):
    """Asks to give the backend up."""


class Failure(NamedTuple):
    """An exception on its way from the process to its parent."""

    module: str
    description: str
    trace: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The exception in a form that can be sent."""
        kind = type(error)
        return cls(kind.__module__, f"{kind.__qualname__}: {error}", traceback.format_exc(), _pickled(error))

    def to_exception(self) -> Exception:
        """The exception itself if its module is loaded here; a parent never imports an engine to raise its error."""
        error: Exception = RuntimeError(self.description)
        if self.pickled is not None and self.module in sys.modules:
            error = pickle.loads(self.pickled)
        error.add_note(f"raised in a process of its own:\n{self.trace}")
        return error


def _pickled(error: Exception) -> bytes | None:
    """The exception as bytes, or None if it does not survive the round trip."""
    try:
        data = pickle.dumps(error)
        return data if type(pickle.loads(data)) is type(error) else None
    except Exception:  # noqa: BLE001 (an exception's own pickling may raise anything)
        return None


def serve(descriptor: int, parent_id: int) -> None:
    """The process's side: build the backend that the first message asks for, then answer until the pipe ends."""
    os.set_inheritable(descriptor, False)
    watch_parent(parent_id)
    connection, host = Connection(descriptor), _Host()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send_bytes(host.answer(connection.recv_bytes()))
    os.killpg(0, signal.SIGKILL)  # the parent is gone: nobody else ends what the backend has started


class _Host:
    """Holds the backend in its process."""

    def __init__(self) -> None:
        self._backend: object = None

    def answer(self, message: bytes) -> bytes:
        """Do what is asked. An answer that cannot be pickled comes back as the failure to pickle it."""
        try:
            return pickle.dumps(self._do(pickle.loads(message)))
        except Exception as error:  # noqa: BLE001 (whatever it is, the parent raises it)
            return pickle.dumps(Failure.of(error))

    def _do(self, message: Build | Call | Vacate) -> object:
        if isinstance(message, Call):
            return getattr(self._backend, message.method)(*message.arguments)
        if self._backend is not None:
            self._backend = None
            _free_memory()
        if isinstance(message, Build):
            if message.log_path is not None:
                _write_output_to(Path(message.log_path))
            gc.freeze()  # what libraries keep is not looked through each time a backend is given up, 0.4 s
            self._backend = message.build(**message.arguments)
        return None


def _free_memory() -> None:
    gc.collect()
    with contextlib.suppress(AttributeError):  # what glibc keeps, the next backend's peak would not show
        ctypes.CDLL(None).malloc_trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _write_output_to(log_path: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def watch_parent(parent_id: int) -> None:
    """Kill this process and its group, which it leads, within a second of its parent's end.

    Not PR_SET_PDEATHSIG: that fires when the THREAD that started the process ends, and workflow engines run tasks in
    threads.
    """

    def watch() -> None:
        while os.getppid() == parent_id:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
