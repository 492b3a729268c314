"""What many look at, read once for all of them: cached for a moment, and read again only while somebody looks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

Seen = TypeVar("Seen")

FRESH_S = 2.0
PAUSE_S = 2.0
SIGN_OF_LIFE_S = 15.0

logger = logging.getLogger(__name__)


class Watch(Generic[Seen]):
    """Reads something again and again for those who follow it, in one thread beside those of the requests."""

    def __init__(self, read: Callable[[], Seen]) -> None:
        """`read` is asked from any thread, one at a time."""
        self._read = read
        self._lock = threading.Lock()
        self._kept: tuple[float, Seen] | None = None
        self.open()

    def open(self) -> None:
        """Let it be followed, in the event loop that runs when somebody does."""
        self._followers = 0
        self._was_read = asyncio.Condition()
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def now(self) -> Seen:
        """What there is to see, at most two seconds old."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > FRESH_S:
                seen = self._read()
                self._kept = (time.monotonic(), seen)
            return self._kept[1]

    def forget(self) -> None:
        """Have it read anew, since something was changed here."""
        with self._lock:
            self._kept = None

    @property
    def follower_count(self) -> int:
        """How many follow now."""
        return self._followers

    def close(self) -> None:
        """End it for all who follow, at once."""
        self._closed.set()

    async def follow(self, longest_s: float) -> AsyncIterator[Seen | None]:
        """What there is to see whenever it has changed, None as a sign of life; ends after so many seconds."""
        began_at = told_at = time.monotonic()
        seen: Seen | None = None
        self._followers += 1
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._keep_reading())
                await self._next_reading()  # what was kept may be of yesterday
            while not self._closed.is_set() and time.monotonic() < began_at + longest_s:
                kept = self._kept
                if kept is not None and kept[1] != seen:
                    seen, told_at = kept[1], time.monotonic()
                    yield seen
                elif time.monotonic() > told_at + SIGN_OF_LIFE_S:
                    told_at = time.monotonic()
                    yield None
                await self._next_reading()
        finally:
            self._followers -= 1

    async def _next_reading(self) -> None:
        async with self._was_read:
            await self._was_read.wait()

    async def _keep_reading(self) -> None:
        """Read while somebody follows; where that fails, they keep what was there, and it is tried again."""
        closed = asyncio.create_task(self._closed.wait())
        limiter = CapacityLimiter(1)
        while self._followers and not closed.done():
            try:
                await run_sync(self.now, limiter=limiter, abandon_on_cancel=True)
            except Exception as error:  # noqa: BLE001 (whatever it was, it may pass)
                logger.warning("what the workbench shows could not be read: %s", error)
            async with self._was_read:
                self._was_read.notify_all()
            await asyncio.wait({closed}, timeout=PAUSE_S)
        closed.cancel()
        async with self._was_read:
            self._was_read.notify_all()
