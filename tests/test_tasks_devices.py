"""The device of a host on a real Prefect server: held by one at a time, and counted to the run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from stored_rows import open_run
from surroundings import ROOT, on_sqlite

from db import runs
from flows.service.worker import make_gpu_limit
from tasks import devices
from tasks.devices import device, device_time_of, keep_device, keep_process

HOLD = """
import time
from tasks.devices import device
print("asks", flush=True)
with device():
    print(time.time(), flush=True)
"""


@pytest.fixture
def limit(prefect_server, monkeypatch, request):
    """A limit of one, as a worker makes it and names it to its runs."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    name = f"gpu of {request.node.name.partition('[')[0]}"
    monkeypatch.setenv("ANTIPODE_GPU_LIMIT", name)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        make_gpu_limit(name)
        yield name


def side_by_side(work, arguments):
    """Call it for each argument in a thread of its own, with the settings of this one, as Prefect's threads have."""
    contexts = [copy_context() for _ in arguments]
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(lambda context, argument: context.run(work, argument), contexts, arguments))


def active_slots(name):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(name).active_slots


def seconds_of(sessions, run_id):
    with sessions() as session:
        return runs.get_run(session, run_id).device_seconds


@on_sqlite
def test_two_threads_never_hold_the_device_at_once_and_each_is_counted_to_its_run(settings, sessions, limit):
    run_ids = [open_run(sessions, [], key=key * 64) for key in "ab"]
    held = []

    def work(run_id):
        with device_time_of(run_id), device():
            begun = time.monotonic()
            time.sleep(0.3)
            held.append((begun, time.monotonic()))

    begun = time.monotonic()
    side_by_side(work, run_ids)
    wall_s = time.monotonic() - begun
    (_, first_end), (second_start, _) = sorted(held)
    assert first_end <= second_start
    counted = [seconds_of(sessions, run_id) for run_id in run_ids]
    assert all(0.3 <= seconds < wall_s for seconds in counted)
    assert sum(counted) <= wall_s, "waiting is not counted"


@on_sqlite
def test_another_process_waits_for_the_device(settings, limit):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with device():
        other = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "asks\n"
        time.sleep(1)
        freed_at = time.time()
    printed, _ = other.communicate(timeout=60)
    assert other.returncode == 0
    assert float(printed) >= freed_at
    assert active_slots(limit) == 0


@on_sqlite
def test_a_hold_within_a_hold_does_not_wait_for_itself_and_is_counted_once(settings, sessions, limit):
    run_id = open_run(sessions, [])
    begun = time.monotonic()
    with device_time_of(run_id), device():
        assert active_slots(limit) == 1
        with device(), device(is_used=False):
            time.sleep(0.2)
        assert active_slots(limit) == 1, "the inner one does not give it back"
    assert 0.2 <= seconds_of(sessions, run_id) <= time.monotonic() - begun
    assert active_slots(limit) == 0
    with device_time_of(run_id), device():
        time.sleep(0.1)
    assert seconds_of(sessions, run_id) >= 0.3, "a second hold is added to the first"


@on_sqlite
def test_a_device_that_is_kept_is_taken_at_its_first_use_and_its_engines_share_a_process(settings, sessions, limit):
    run_id = open_run(sessions, [])
    with device_time_of(run_id), keep_device():
        assert active_slots(limit) == 0, "nothing has used it yet"
        with device() as first:
            time.sleep(0.1)
        assert active_slots(limit) == 1, "the next one will use it"
        with device() as second, device(is_used=False) as of_none:
            assert first is second is not of_none
    assert active_slots(limit) == 0
    assert seconds_of(sessions, run_id) >= 0.1
    with keep_device(), device() as third:
        assert third is not first
    with keep_device():
        pass
    assert active_slots(limit) == 0


@on_sqlite
def test_a_failure_within_gives_the_device_back_and_is_counted(settings, sessions, limit):
    run_id = open_run(sessions, [])
    with pytest.raises(ZeroDivisionError), device_time_of(run_id), device():
        time.sleep(0.1)
        raise ZeroDivisionError
    assert active_slots(limit) == 0
    assert seconds_of(sessions, run_id) >= 0.1
    with device():
        assert active_slots(limit) == 1, "it is held anew, not taken for held"


@on_sqlite
def test_a_limit_that_does_not_exist_is_told_and_nothing_begins(settings, sessions, limit, monkeypatch):
    from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError

    monkeypatch.setenv("ANTIPODE_GPU_LIMIT", "gpu of nobody")
    run_id = open_run(sessions, [])
    with pytest.raises(ConcurrencySlotAcquisitionError), device_time_of(run_id), device():
        pytest.fail("it was entered")
    assert seconds_of(sessions, run_id) == 0
    with device(is_used=False):
        pass


@on_sqlite
def test_without_a_limit_nothing_is_waited_for_and_the_time_is_counted(settings, sessions):
    run_ids = [open_run(sessions, [], key=key * 64) for key in "ab"]
    both = threading.Barrier(2, timeout=20)

    def work(run_id):
        with device_time_of(run_id), device():
            both.wait()
            time.sleep(0.1)

    side_by_side(work, run_ids)
    assert all(seconds_of(sessions, run_id) >= 0.1 for run_id in run_ids)
    with device():
        pass  # of no run


@on_sqlite
def test_an_engine_that_needs_no_device_neither_waits_nor_counts(settings, sessions, limit):
    run_id = open_run(sessions, [])
    with device_time_of(run_id), device(is_used=False):
        assert active_slots(limit) == 0
        time.sleep(0.05)
    assert seconds_of(sessions, run_id) == 0


@on_sqlite
def test_making_a_limit_again_leaves_it_as_somebody_set_it(settings, limit):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    with get_client(sync_client=True) as client:
        client.update_global_concurrency_limit(limit, GlobalConcurrencyLimitUpdate(limit=2))
        make_gpu_limit(limit)
        assert client.read_global_concurrency_limit_by_name(limit).limit == 2


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_process_is_kept_from_one_hold_to_the_next_where_there_is_no_gpu(monkeypatch, kind):
    monkeypatch.setattr(devices, "torch_device", lambda: kind)
    with keep_process():
        with device() as first:
            pass
        with keep_process(), device() as second:
            pass
    with keep_process(), device() as of_another_run:
        pass
    assert (first is second) == (kind == "cpu")
    assert of_another_run not in (first, second)
