"""How large bench/gpu.py measures, and how it takes the time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Size:
    """Sizes of everything; the defaults are for a card of 80 GB."""

    repeats: int = 9
    rate_elements: int = 1 << 30
    gemm: int = 8192
    selection_bytes: int = 6 << 30
    checked_bytes: int = 100 << 20
    hidden: int = 2048
    intermediate: int = 8192
    layers: int = 16
    heads: int = 32
    key_heads: int = 8
    vocabulary: int = 32_000
    texts: int = 2048
    long_texts: int = 256
    long_tokens: int = 500
    tokens_per_batch: tuple[int, ...] = (8192, 32_768)
    checked_texts: int = 8
    pairs: int = 64
    pairs_per_forward: int = 16
    checked_pairs: int = 4

    @classmethod
    def tiny(cls) -> Size:
        """Seconds on one core."""
        return cls(
            repeats=1, rate_elements=1 << 10, gemm=32, selection_bytes=1 << 16, checked_bytes=1 << 16, hidden=32,
            intermediate=64, layers=2, heads=4, key_heads=2, vocabulary=101, texts=12, long_texts=2, long_tokens=30,
            tokens_per_batch=(64,), checked_texts=4, pairs=4, pairs_per_forward=2, checked_pairs=2,
        )  # fmt: skip


def seconds(run: Callable[[], object], device: str, repeats: int) -> float:
    """The median time of a run, two for warming up left out; on a GPU by its own events."""
    for _ in range(2):
        run()
    taken = []
    for _ in range(repeats):
        if device != "cuda":
            begin_s = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begin_s)
            continue
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        taken.append(begin.elapsed_time(end) / 1000)
    return statistics.median(taken)
