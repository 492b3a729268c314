"""The GPU of this host, held by one stage at a time. Knows no stage.

A worker names a Prefect concurrency limit in ANTIPODE_GPU_LIMIT; without one (a command line of one's own) nothing is
waited for. A host without a GPU is held the same way: two engines at once would share its memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from db import runs
from models.number_format import torch_device
from models.processes.isolation import BackendProcess, Backends, StartsBackend
from models.processes.ray_pool import RayPool
from models.processes.shared_process import SharedProcess
from tasks.database import open_database
from tasks.progress import say
from tasks.settings import Settings
from tasks.storage import shared_folders

LEASE_S = 60  # the shortest that Prefect allows: after a death the device is free again so soon
NOTICED_WAIT_S = 1.0

_run_id: ContextVar[int | None] = ContextVar("run_id", default=None)
_hold: ContextVar[_Hold | None] = ContextVar("hold", default=None)
_kept: ContextVar[SharedProcess | None] = ContextVar("kept", default=None)


class _Hold:
    """Takes the device when it is first wanted, and keeps it until `stack` is closed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._process: SharedProcess | None = None
        self._pools: dict[float, RayPool] = {}

    def backends(self, settings: Settings, *, is_shared_out: bool, gpus: int) -> Backends:
        """Where the stage's backend is started."""
        process = self.process()
        if not is_shared_out or settings.engine == "local":
            return process
        each = float(gpus) if gpus > 1 else settings.ray_gpus_per_actor
        if each not in self._pools:
            pool = RayPool(actors=settings.ray_actors, gpus_per_actor=each, folders=shared_folders(settings))
            self._pools[each] = self._stack.enter_context(closing(pool))
            say(f"Ray cluster: {pool}")
        return self._pools[each]

    def process(self) -> SharedProcess:
        """The process that may use the device."""
        if self._process is None:
            self._stack.enter_context(_slot(Settings().gpu_limit))
            begun = time.monotonic()
            self._stack.callback(lambda: _store_device_time(time.monotonic() - begun))
            kept = _kept.get() if torch_device() == "cpu" else None
            # On a GPU it ends before the device is given back: only then is all its memory free.
            self._process = kept or self._stack.enter_context(closing(SharedProcess()))
        return self._process


@contextmanager
def device_time_of(run_id: int) -> Iterator[None]:
    """Count device time within as this run's."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


@contextmanager
def keep_process() -> Iterator[None]:
    """On a host without a GPU, let the engines of all holds within share a process: it then imports torch once.

    Between two holds it has given its last backend up.
    """
    if _kept.get() is not None:
        yield
        return
    with closing(SharedProcess()) as process:
        token = _kept.set(process)
        try:
            yield
        finally:
            _kept.reset(token)


@contextmanager
def keep_device() -> Iterator[None]:
    """Keep the device from its first use within to the end, so that engines one after the other share a process."""
    if _hold.get() is not None:
        yield
        return
    with ExitStack() as stack:
        token = _hold.set(_Hold(stack))
        try:
            yield
        finally:
            _hold.reset(token)


@contextmanager
def device(*, is_used: bool = True, is_shared_out: bool = False, gpus: int = 1) -> Iterator[Backends]:
    """Hold this host's device, and count for how long; within another hold of the same run it is held already.

    Yields where backends are started, which end with the hold (what holds them, perhaps with the run: `keep_process`).
    `is_used` is False for an engine without a model, and for one behind another's server. `is_shared_out`: the stage's
    engine reads or samples item by item, so that a Ray cluster may load it many times, if the settings say so; `gpus`:
    how many each of them is split over.

    Raises:
        ConcurrencySlotAcquisitionError: If the limit that the worker names does not exist: one that is silently no
            limit lets two engines share a GPU until one of them fails.
    """
    if not is_used:
        with closing(SharedProcess()) as process:
            yield process
        return
    with keep_device():
        hold = _hold.get()
        assert hold is not None
        yield hold.backends(Settings(), is_shared_out=is_shared_out, gpus=gpus)


def start_on_cores(settings: Settings) -> StartsBackend | None:
    """What starts a backend on the processors of the Ray cluster's hosts, connected then; None without a cluster."""
    if settings.engine == "local":
        return None

    def start(
        build: Callable[..., object], arguments: Mapping[str, Any], *, log_path: Path | None, timeout_s: float | None
    ) -> BackendProcess:
        return RayPool(gpus_per_actor=0).start(build, arguments, log_path=log_path, timeout_s=timeout_s)

    return start


@contextmanager
def _slot(limit: str | None) -> Iterator[None]:
    if limit is None:
        yield
        return
    from prefect.concurrency.sync import concurrency

    begun = time.monotonic()
    # A lease that could not be renewed for a moment is no reason to lose hours of work.
    with concurrency(limit, strict=True, lease_duration=LEASE_S, raise_on_lease_renewal_failure=False):
        waited = time.monotonic() - begun
        if waited > NOTICED_WAIT_S:
            say(f"waited {waited:.0f} s for {limit}")
        yield


def _store_device_time(seconds: float) -> None:
    run_id = _run_id.get()
    if run_id is not None:
        with open_database(Settings()) as sessions, sessions.begin() as session:
            runs.add_device_seconds(session, run_id, seconds)
