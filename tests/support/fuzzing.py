"""Fuzz tests: a share of all generated cases each, few in the suite and many in `make soak`, and counted."""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

CASES = int(os.environ.get("FUZZ_CASES", "5000"))  # of all fuzz tests together

_counts: Counter[str] = Counter()


def fuzz(share: float, **strategies: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Try a test with `share` of all cases; what is tried is counted where FUZZ_COUNTS names a folder."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @settings(max_examples=round(CASES * share), deadline=None, suppress_health_check=list(HealthCheck))
        @given(**strategies)
        @wraps(test)
        def counted(*arguments: Any, **drawn: Any) -> None:
            _counts[f"{test.__module__}.{test.__qualname__}"] += 1
            test(*arguments, **drawn)

        return pytest.mark.fuzz(counted)

    return decorate


@atexit.register
def _tell_counts() -> None:
    if _counts and (folder := os.environ.get("FUZZ_COUNTS")):
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps(_counts))
