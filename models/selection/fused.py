"""Easy, hard and centroid of large selections by the compiled kernel, where there is one.

NumPy says what is right (`models.selection.rules`); this is the same in one pass over the embeddings. Small selections
stay with NumPy: loading what is compiled takes longer than they do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.selection.asking import StrategyRule
from models.selection.blocks import Groups, Lengths
from models.selection.draws import UInt64s
from models.selection.records import Reason, SelectedPairs
from models.selection.rules import SHIPPED
from models.selection.similarity import BLOCK_BYTES, Float32s, Floats, as_float32
from models.selection.two_means import (
    EXACT_UP_TO,
    KICKS,
    LARGEST,
    RANDOM_STARTS,
    search_directions,
    search_kicks,
)

LEAST_NUMBERS = 1 << 24  # of embeddings
GROUPS_AT_A_TIME = 1 << 13

_log = logging.getLogger(__name__)

ROWS = {SHIPPED[name]: row for row, name in enumerate(("easy", "hard", "centroid"))}


def is_fused(candidates: Groups, rules: Sequence[StrategyRule]) -> bool:
    """Whether the kernel is to choose; it depends on what is asked and how much there is, not on what ran before.

    So that the same call gives the same bits.
    """
    is_large = int(candidates.sizes.sum()) * candidates.embeddings.shape[1] >= LEAST_NUMBERS
    is_known = candidates.lengths is None and all(rule in ROWS for rule in rules)
    return is_large and is_known and _kernel() is not None


def select_fused(candidates: Groups, turns: Sequence[tuple[StrategyRule, SelectedPairs]], *, seed: int) -> None:
    """Write the pairs of all groups, where nothing is written."""
    kernel = _kernel()
    assert kernel is not None  # as `is_fused` told
    largest = int(candidates.sizes.max(initial=2))
    has_centroid = any(rule == SHIPPED["centroid"] for rule, _ in turns)
    tables = split_weights() if has_centroid else np.empty(0, np.float32)
    drawn = tables, search_draws(seed) if largest > EXACT_UP_TO else np.empty((0, 0), np.uint64)
    for part in _parts(candidates):
        starts, sizes = candidates.starts[part], candidates.sizes[part]
        first_row, end = int(starts[0]), int(starts[-1] + sizes[-1])
        told = _Told(len(starts))
        rows = candidates.embeddings[first_row:end]  # what it is converted to is gone before the next
        kernel(_as_kernel_takes(rows), starts - first_row, sizes, largest, drawn, told.arrays)
        for rule, selected in turns:
            told.write(selected, part, starts, ROWS[rule])


def _parts(candidates: Groups) -> list[slice]:
    """The groups in slices whose rows, as float32, are no more than a block, or are one group."""
    dimension, embeddings = candidates.embeddings.shape[1], candidates.embeddings
    is_read_in_place = embeddings.dtype != np.float64 and embeddings.flags.c_contiguous
    rows = np.iinfo(np.int64).max if is_read_in_place else max(1, BLOCK_BYTES // (4 * dimension))
    ends, parts, start = candidates.starts + candidates.sizes, [], 0
    while start < len(ends):
        fitting = int(np.searchsorted(ends, candidates.starts[start] + min(rows, 1 << 62), side="right"))
        end = max(start + 1, min(fitting, start + GROUPS_AT_A_TIME))
        parts.append(slice(start, end))
        start = end
    return parts


def _as_kernel_takes(rows: Floats) -> NDArray[Any]:
    is_half = rows.dtype == np.float16 and rows.flags.c_contiguous
    taken = rows.view(np.int16) if is_half else as_float32(rows).view()
    taken.flags.writeable = False  # as a map's rows are: numba compiles anew for each kind of array
    return taken


class _Told:
    """What the kernel writes for b groups."""

    def __init__(self, groups: int) -> None:
        self.first, self.second = np.empty((2, len(ROWS), groups), np.int64)
        self.similarity = np.empty((len(ROWS), groups), np.float32)
        self.rank = np.empty((len(ROWS), groups), np.int32)
        self.reason, self.pair_count = np.empty(groups, np.uint8), np.empty(groups, np.int32)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.first, self.second, self.similarity, self.rank, self.reason, self.pair_count

    def write(self, selected: SelectedPairs, part: slice, starts: Lengths, row: int) -> None:
        has_pair = self.reason == Reason.PAIR_CHOSEN
        np.add(self.first[row], starts, out=selected.first[part], where=has_pair)
        np.add(self.second[row], starts, out=selected.second[part], where=has_pair)
        selected.similarity[part], selected.rank[part] = self.similarity[row], self.rank[row]
        selected.reason[part], selected.pair_count[part] = self.reason, self.pair_count


@lru_cache(maxsize=1)
def split_weights() -> Float32s:
    """What a sum zᵀCz is multiplied by for its inertia, less a constant: one table after the other for K = 3 .. 16.

    Each has 2^(K−3) numbers three times: for the subsets of candidates 1 .. K−3 in counting order, with none, one and
    both of the last two candidates.
    """
    tables = []
    for size in range(3, EXACT_UP_TO + 1):
        for more in range(3):
            count = np.bitwise_count(np.arange(1 << (size - 3))).astype(np.float32) + more
            tables.append(-size / np.where(count, count * (size - count), 1))
    return np.concatenate(tables).astype(np.float32)


@lru_cache(maxsize=1)
def search_draws(seed: int) -> UInt64s:
    """The directions and kicks of the search among K candidates as (65, ·) bits: row K, bit i for candidate i."""
    draws = np.zeros((LARGEST + 1, RANDOM_STARTS + KICKS), np.uint64)
    for size in range(EXACT_UP_TO + 1, LARGEST + 1):
        bits = np.uint64(1) << np.arange(size, dtype=np.uint64)
        chosen = np.concatenate([search_directions(size, seed=seed) > 0, search_kicks(size, seed=seed)])
        draws[size] = chosen @ bits
    return draws


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., None] | None:
    """The compiled kernel; None, and a line in the log, where there is none."""
    try:
        from numba import config

        from models.selection.compiled import choose

        if config.DISABLE_JIT:
            raise RuntimeError("NUMBA_DISABLE_JIT is set")
        compiled = _compiled(choose)
        _try_out(compiled)
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
        _log.warning("NumPy selects, which takes longer: no compiled code (%s: %s)", type(error).__name__, error)
        return None
    return compiled


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """The function to be compiled when called; with no folder to keep that in, by every process anew."""
    from numba import njit

    flags = {"error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **flags)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        _log.warning("compiled selection is kept nowhere: no folder of numba's can be written; set NUMBA_CACHE_DIR")
        return njit(**flags)(function)  # type: ignore[no-any-return]


def _try_out(compiled: Callable[..., None]) -> None:
    """Compile it for both kinds of embeddings."""
    none = np.zeros(0, np.int64)
    for kind in (np.float32, np.float16):
        rows = _as_kernel_takes(np.zeros((0, 1), kind))
        compiled(rows, none, none, 2, (split_weights(), np.empty((0, 0), np.uint64)), _Told(0).arrays)
