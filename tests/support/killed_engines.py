"""Engines that the kernel kills for their memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flows.terminal.failures import error_line
from models.errors import ProcessDiedError
from models.processes.isolation import IsolatedProcess


@contextmanager
def killed(build: str, *, call: int = 1) -> Iterator[None]:
    """Kill the engine of this class at one of its calls, as it begins; the failure must say what to think of."""
    count = 0
    forwarded = IsolatedProcess.call

    def kill(self, method, *arguments):
        nonlocal count
        if self._name == build:
            count += 1
            if count == call:
                os.kill(self.process_id, signal.SIGKILL)
        return forwarded(self, method, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IsolatedProcess, "call", kill)
        with pytest.raises(ProcessDiedError) as caught:
            yield
    line = error_line(caught.value)
    assert build in line and "signal 9, SIGKILL; out of memory is the usual cause" in line
    assert count == call
