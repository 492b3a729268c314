"""How often Python looks for garbage in circles."""

from __future__ import annotations

import gc

# Python's own 700 looks through all that is loaded again and again while it loads: a sixth of the time of Prefect's
# imports, of which nothing is garbage.
ALLOCATIONS = 100_000


def rarely_collect() -> None:
    """Look for garbage once in 100,000 allocations, for as long as this process lives."""
    gc.set_threshold(ALLOCATIONS)
