"""One process for backends that follow each other on one device, so that the libraries are imported once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.isolation import BackendProcess, IsolatedProcess


class SharedProcess:
    """One process for backends that follow each other; it starts with the first.

    For backends of plain torch, which free their memory when they are dropped. Others (vLLM, a training) need a
    process of their own.
    """

    def __init__(self) -> None:
        self._process: IsolatedProcess | None = None

    def start(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> BackendProcess:
        """Build a backend in the process, in place of the one before; parameters and errors as of `IsolatedProcess`."""
        if self._process is None or self._process.is_closed:
            self._process = IsolatedProcess(build, arguments, log_path=log_path, timeout_s=timeout_s)
        else:
            self._process.replace(build, arguments, log_path=log_path, timeout_s=timeout_s)
        return _SharedBackend(self._process)

    def close(self) -> None:
        """End the process. Safe to call twice."""
        if self._process is not None:
            self._process.close()


class _SharedBackend:
    """A backend in a shared process."""

    def __init__(self, process: IsolatedProcess) -> None:
        self.call = process.call
        self._process: IsolatedProcess | None = process

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None and not process.is_closed:
            process.vacate()
