"""Backends for several processes: they say which device they were given, and some take long to load."""

from __future__ import annotations

import time
from collections.abc import Sequence

from models.errors import ModelLoadError


class Placed:
    """Tells its device."""

    def __init__(self, *, device: str) -> None:
        self._device = device

    def place(self, items: Sequence[object]) -> list[str]:
        return [self._device] * len(items)


class LoadsForMinutes(Placed):
    """It loads so long, except on the device where it fails at once."""

    def __init__(self, *, device: str, fails_on: str | None) -> None:
        super().__init__(device=device)
        if device == fails_on:
            raise ModelLoadError("tiny", "no such folder")
        time.sleep(300)
