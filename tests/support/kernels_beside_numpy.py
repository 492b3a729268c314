"""The selection kernels beside NumPy, in a process of its own: Triton reads once whether it is to interpret.

Writes a JSON object: the case -> the fields that differ.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import numpy as np
import torch

from models.selection import select_pairs
from models.selection.on_device import select_tensors

STRATEGIES = ("easy", "hard", "centroid")
FIELDS = ("first", "second", "reason", "rank", "pair_count")
KINDS = ("normal", "alike", "repeated", "unusable", "tied")
SMALL, LARGE = (2, 3, 8), (9, 16, 17)
MIXED_SIZES = (3, 0, 4, 3, 1, 4, 2, 3)
Array = np.ndarray[Any, Any]


def rows_of(kind: str, size: int, dimension: int, groups: int) -> Array:
    """Groups of candidates, (groups * size, dimension) float64."""
    rng = np.random.default_rng(size * dimension)
    rows = rng.standard_normal((groups, size, dimension))
    if kind == "alike":
        rows += 3 * rng.standard_normal((groups, 1, dimension))
    if kind == "repeated":
        rows = rows[:, rng.integers(0, max(1, size // 2), size)]
    if kind == "unusable":
        rows[rng.random((groups, size)) < 0.4] = 0
        rows[rng.random((groups, size)) < 0.2, 0] = np.nan
    if kind == "tied":
        rows = rng.integers(-1, 2, (groups, size, dimension)).astype(float)
    return rows.reshape(-1, dimension)


def cases() -> dict[str, tuple[Array, Array]]:
    """What is compared: rows and offsets by name."""
    made = {
        f"{kind} {size} {dtype}": (rows_of(kind, size, 20, 9).astype(dtype), np.arange(0, 9 * size + 1, size))
        for kind in KINDS
        for size in SMALL
        for dtype in (("float16",) if size == 3 else ("float32",))
    }
    for size in LARGE:
        made[f"alike {size} float16"] = (
            rows_of("alike", size, 300, 2).astype(np.float16),
            np.arange(0, 2 * size + 1, size),
        )
        made[f"unusable {size} float32"] = (
            rows_of("unusable", size, 20, 5).astype(np.float32),
            np.arange(0, 5 * size + 1, size),
        )
    made["mixed"] = (
        rows_of("normal", sum(MIXED_SIZES), 20, 1).astype(np.float32),
        np.cumsum([0, *MIXED_SIZES]),
    )
    return made


def differences(rows: Array, offsets: Array) -> list[str]:
    """Fields that differ, by strategy."""
    there = torch.from_numpy(rows).to("cuda" if torch.cuda.is_available() else "cpu")
    found = select_tensors(there, offsets, STRATEGIES, centroid=partial(select_pairs, strategy="centroid", seed=0))
    differing = []
    for strategy, got in found.items():
        expected = select_pairs(rows, offsets, strategy=strategy, seed=0)
        differing += [
            f"{strategy} {field}"
            for field in FIELDS
            if not np.array_equal(getattr(got, field), getattr(expected, field))
        ]
        if not np.allclose(got.similarity, expected.similarity, atol=2e-6, equal_nan=True):
            differing.append(f"{strategy} similarity")
    return differing


if __name__ == "__main__":
    json.dump({name: differences(*case) for name, case in cases().items()}, sys.stdout)
