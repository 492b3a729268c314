"""A backend in several processes of this host, one a GPU where there are any; a call's items are shared out among them.

Stands where `models.processes.isolation.IsolatedProcess` stands. The first that fails ends all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from models.processes.isolation import BackendProcess, IsolatedProcess
from models.processes.ray_pool import joined


class SeveralProcesses:
    """Starts backends in so many processes; their argument `device` says which GPU, if it is a GPU."""

    def __init__(self, count: int) -> None:
        self._count = count

    def start(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> BackendProcess:
        """Build the backend in each; parameters and errors as of `IsolatedProcess`."""
        processes: list[IsolatedProcess] = []
        backend, is_given_up = _Shares(processes), threading.Event()

        def build_one(place: int) -> None:
            own = {"device": f"cuda:{place}"} if arguments["device"] == "cuda" else {}
            # The process comes first, so that one that loads its backend can be ended.
            process = IsolatedProcess(object, {}, log_path=log_path, timeout_s=timeout_s)
            processes.append(process)
            if is_given_up.is_set():
                process.close()
                return
            process.replace(build, {**arguments, **own}, log_path=log_path, timeout_s=timeout_s)

        with ThreadPoolExecutor(self._count) as pool:
            try:
                _results([pool.submit(build_one, place) for place in range(self._count)])
            except BaseException:
                is_given_up.set()
                backend.close()  # before the pool waits for those that still load
                raise
        return backend


class _Shares:
    """The processes of one backend."""

    def __init__(self, processes: Sequence[BackendProcess]) -> None:
        self._processes = processes

    def call(self, method: str, items: Sequence[Any], *rest: Any) -> Any:
        """Each process does a share, in the items' order; `rest` goes with every share. Errors: the first one's."""
        size = max(1, -(-len(items) // len(self._processes)))
        shares = [items[start : start + size] for start in range(0, max(1, len(items)), size)]
        with ThreadPoolExecutor(len(shares)) as pool:
            running = [
                pool.submit(process.call, method, share, *rest)
                for process, share in zip(self._processes, shares, strict=False)
            ]
            try:
                return joined(_results(running))
            except BaseException:
                self.close()  # before the pool waits for those that are still at work
                raise

    def close(self) -> None:
        """End the processes. Safe to call twice."""
        for process in self._processes:
            process.close()


def _results(running: Sequence[Future[Any]]) -> list[Any]:
    """What they return; the first to fail is not waited for behind the others."""
    for done in as_completed(running):
        done.result()
    return [one.result() for one in running]
