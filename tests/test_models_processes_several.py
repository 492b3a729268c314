"""One backend in several processes: each has its GPU, and a start that fails or is interrupted leaves none of them."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from engine_processes import live_engines
from slow_backends import LoadsForMinutes, Placed

from models.errors import ModelLoadError
from models.processes.several import SeveralProcesses

AT_ONCE_S = 60  # of a busy machine; what loads takes 300


def test_each_process_of_several_has_a_gpu_of_its_own() -> None:
    backend = SeveralProcesses(3).start(Placed, {"device": "cuda"}, log_path=None, timeout_s=AT_ONCE_S)
    try:
        assert sorted(backend.call("place", [1, 2, 3])) == ["cuda:0", "cuda:1", "cuda:2"]
    finally:
        backend.close()


def test_the_first_that_fails_to_start_ends_those_that_still_load() -> None:
    started = time.monotonic()
    with pytest.raises(ModelLoadError):
        SeveralProcesses(2).start(
            LoadsForMinutes, {"device": "cuda", "fails_on": "cuda:1"}, log_path=None, timeout_s=None
        )
    assert live_engines() == []
    assert time.monotonic() - started < AT_ONCE_S


def test_an_interruption_ends_those_that_still_load() -> None:
    def interrupt() -> None:
        while len(live_engines()) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    started = time.monotonic()
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        SeveralProcesses(2).start(LoadsForMinutes, {"device": "cpu", "fails_on": None}, log_path=None, timeout_s=None)
    assert live_engines() == []
    assert time.monotonic() - started < AT_ONCE_S
