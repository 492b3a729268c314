"""The GPU of this host, held by one stage at a time. Knows no stage.

A worker names a Prefect concurrency limit in ANTIPODE_GPU_LIMIT; without one (a command line of one's own) nothing is
waited for. A host without a GPU is held the same way: two engines at once would share its memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from db import runs
from tasks.database import open_database
from tasks.progress import say
from tasks.settings import Settings

LEASE_S = 60  # the shortest that Prefect allows: after a death the device is free again so soon
NOTICED_WAIT_S = 1.0

_run_id: ContextVar[int | None] = ContextVar("run_id", default=None)
_is_held: ContextVar[bool] = ContextVar("is_held", default=False)


@contextmanager
def device_time_of(run_id: int) -> Iterator[None]:
    """Count what is held within as taken by this run."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


@contextmanager
def device(*, is_used: bool = True) -> Iterator[None]:
    """Hold this host's device, and count for how long; within another hold of the same run it is held already.

    `is_used` is False for an engine without a model, and for one behind another's server.

    Raises:
        ConcurrencySlotAcquisitionError: If the limit that the worker names does not exist: one that is silently no
            limit lets two engines share a GPU until one of them fails.
    """
    if not is_used or _is_held.get():
        yield
        return
    token = _is_held.set(True)
    try:
        with _slot(Settings().gpu_limit):
            begun = time.monotonic()
            try:
                yield
            finally:
                _count(time.monotonic() - begun)
    finally:
        _is_held.reset(token)


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


def _count(seconds: float) -> None:
    run_id = _run_id.get()
    if run_id is not None:
        with open_database(Settings()) as sessions, sessions.begin() as session:
            runs.add_device_seconds(session, run_id, seconds)
