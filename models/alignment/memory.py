"""Peak memory of a block of code: the GPU's own count, or this process's resident memory above that at its start."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import torch

_INTERVAL_S = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PeakMemory:
    """Measures from entering to leaving. `peak_bytes` is there at any time.

    On a GPU it counts all that the process has allocated there, weights included. On a CPU it counts what is used
    above the memory in use at the start, sampled fifty times a second.
    """

    def __enter__(self) -> PeakMemory:
        """Start measuring."""
        self._has_gpu = torch.cuda.is_available()
        if self._has_gpu:
            torch.cuda.reset_peak_memory_stats()
            return self
        self._start = self._peak = _resident_bytes()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop measuring."""
        if not self._has_gpu:
            self._is_over.set()
            self._thread.join()

    @property
    def peak_bytes(self) -> int:
        """The most so far."""
        return int(torch.cuda.max_memory_allocated()) if self._has_gpu else self._peak - self._start

    def _sample(self) -> None:
        while not self._is_over.wait(_INTERVAL_S):
            self._peak = max(self._peak, _resident_bytes())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
