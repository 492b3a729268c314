"""How often Python looks for garbage that refers to itself, while many small objects are made that never do."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 10_000  # before a look; of 700, Python's own number, an import's CPU time was a quarter


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for it a tenth as often within."""
    before = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
