"""One process for backends that follow each other on one device, so that the libraries are imported once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.processes.isolation import BackendProcess, IsolatedProcess


class SharedProcess:
    """One process for backends that follow each other; it starts with the first.

    For backends of plain torch, which free their memory when they are dropped; on a GPU not for a training, which
    may leave some. Others (vLLM) need a process of their own.
    """

    def __init__(self) -> None:
        self._process: IsolatedProcess | None = None
        self._backend: _SharedBackend | None = None

    @property
    def at_once(self) -> int:
        """One model."""
        return 1

    def start(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> BackendProcess:
        """Build a backend in the process, in place of the one before; parameters and errors as of `IsolatedProcess`."""
        if self._backend is not None:
            self._backend.leave()
        if self._process is None or not _vacate(self._process):
            self._process = IsolatedProcess(build, arguments, log_path=log_path, timeout_s=timeout_s)
        else:
            self._process.replace(build, arguments, log_path=log_path, timeout_s=timeout_s)
        self._backend = _SharedBackend(self._process)
        return self._backend

    def start_alone(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> BackendProcess:
        """Build a backend in a process of its own; parameters and errors as of `IsolatedProcess`."""
        return IsolatedProcess(build, arguments, log_path=log_path, timeout_s=timeout_s)

    def close(self) -> None:
        """End the process. Safe to call twice."""
        if self._process is not None:
            self._process.close()


class _SharedBackend:
    """A backend in a shared process."""

    def __init__(self, process: IsolatedProcess) -> None:
        self._process: IsolatedProcess | None = process

    def call(self, method: str, *arguments: Any) -> Any:
        """As `IsolatedProcess.call`; a backend that was given up raises RuntimeError."""
        if self._process is None:
            raise RuntimeError("the backend was given up; another may be in its process")
        return self._process.call(method, *arguments)

    def leave(self) -> IsolatedProcess | None:
        """Answer no more; the process, unless it was left before."""
        process, self._process = self._process, None
        return process

    def close(self) -> None:
        """Give the backend up. A process that cannot do so, or is at work, ends: what was computed stands."""
        process = self.leave()
        if process is not None:
            _vacate(process)


def _vacate(process: IsolatedProcess) -> bool:
    """Free the process of its backend; whether it answers. It is asked, for a dying process looks alive for a while."""
    if process.has_ended or process.is_busy:
        process.close()
        return False
    try:
        process.vacate()
    except Exception:  # noqa: BLE001 (whatever it is, the process is of no more use)
        process.close()
        return False
    return True
