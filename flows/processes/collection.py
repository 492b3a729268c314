"""How often Python looks for garbage in circles."""

from __future__ import annotations

import gc

# Python's own 700 looks through all that is loaded again and again while it loads: a sixth of the time of Prefect's
# imports, of which nothing is garbage.
ALLOCATIONS = 100_000


def rarely_collect() -> None:
    """Look for garbage after many objects more than Python does by itself."""
    gc.set_threshold(ALLOCATIONS)
