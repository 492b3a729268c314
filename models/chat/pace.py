"""Requests at a pace: so many under way, so many a minute."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Lets requests begin one by one, `60 / requests_per_minute` seconds apart, or at once if there is no limit."""

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait until the next request may begin."""
        while (wait_s := self._free_at - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        self._free_at = time.monotonic() + self._interval_s

    def hold(self, seconds: float) -> None:
        """Let no request begin for so long."""
        self._free_at = max(self._free_at, time.monotonic() + seconds)
