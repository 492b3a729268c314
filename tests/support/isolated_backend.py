"""A backend that a test can call, refuse, kill and outlive, and a process that holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelLoadError, PromptTooLongError
from models.processes.isolation import IsolatedProcess


class UnpicklableError(Exception):
    """Its constructor takes what its pickled form does not hold."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(left + right)


class Backend:
    """What a generator or an embedder is to the process: something with methods."""

    def __init__(self, start: int) -> None:
        if start < 0:
            raise ModelLoadError("tiny", "no such folder")
        self.total = start

    def add(self, amount: int) -> int:
        self.total += amount
        sys.stderr.write(f"total is {self.total}\n")
        return self.total

    def double(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return vectors * 2

    def process_id(self) -> int:
        return os.getpid()

    def refuse(self) -> None:
        raise PromptTooLongError("too long", (1, 4))

    def raise_unpicklable(self) -> None:
        raise UnpicklableError("left", "right")

    def raise_unknown(self) -> None:
        import sqlite3

        raise sqlite3.OperationalError("no such table")

    def return_lock(self) -> object:
        return threading.Lock()

    def leave(self) -> None:
        sys.stdout.write("last words\n")
        os._exit(3)

    def sleep(self) -> None:
        time.sleep(600)

    def start_grandchild(self) -> int:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


class Witness:
    """Leaves a file when its memory is given back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.itself = self  # only the garbage collector ends it

    def __del__(self) -> None:
        self.path.touch()


def isolated(start: int = 0, *, log_path: Path | None = None, timeout_s: float | None = 30) -> IsolatedProcess:
    return IsolatedProcess(Backend, {"start": start}, log_path=log_path, timeout_s=timeout_s)
