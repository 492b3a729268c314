"""How often sign-ins may fail: who tries links gets slow, not the database. In memory, of this process alone."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60.0
PER_ADDRESS, OVERALL = 10, 100  # a person who mistypes needs a few; a token of 256 bits is not guessed either way


class FailedSignIns:
    """Counts failures of the last minute, by address and overall; no more than `OVERALL` are ever kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[tuple[float, str]] = deque()

    def wait_s(self, address: str) -> float:
        """For how many seconds this address may not try; 0 if it may now."""
        with self._lock:
            now = self._clock()
            while self._failures and self._failures[0][0] <= now - WINDOW_S:
                self._failures.popleft()
            own = [at for at, by in self._failures if by == address]
            if len(self._failures) < OVERALL and len(own) < PER_ADDRESS:
                return 0.0
            oldest = self._failures[0][0] if len(self._failures) >= OVERALL else own[0]
            return oldest + WINDOW_S - now

    def failed(self, address: str) -> None:
        """Keep that a sign-in from this address has failed."""
        with self._lock:
            self._failures.append((self._clock(), address))
