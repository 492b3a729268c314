"""Under how many prompts a response stands: close neighbours under other prompts (refusals, fixed texts).

Two sieves come before (sketches.py); here whole vectors are compared where their sketches may be near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from models.guard.boilerplate import LEAST_SIMILARITY, unit_rows
from models.guard.sketches import BOUND, Counts, by_nearest_centre, nearest, reach_of, sketch_axes, sketches

# All of a run's vectors (n, d), block by block, and of which prompt each is (n,), a prompt's own in one block and side
# by side; anew at each call.
Blocks = Callable[[], Iterable[tuple[NDArray[np.floating], Counts]]]

_PRODUCTS = 2**22  # at a time
_GATHERED = 2**21  # numbers of vectors that are multiplied one by one, at a time
_SPARSE = 24  # a product of two rows alone takes as long as so many of a matrix


def prompt_counts(queries: NDArray[np.floating], blocks: Blocks) -> Counts:
    """Under how many prompts each response or a near one stands, its own among them: (q,) int64, at least 1.

    Near is a cosine of 0.98 and more, by float32 products: within 1e-6 of it either may come. Each different query is
    compared with each vector whose sketch may be near its own, a block of them in memory.

    Args:
        queries: (q, d) vectors of responses that are in the blocks too.
        blocks: the run's candidates.
    """
    if not len(queries):
        return np.empty(0, np.int64)
    rows = np.ascontiguousarray(queries)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    search = _Search(unit_rows(rows[firsts]))
    counts = np.zeros(len(firsts), np.int64)
    for vectors, prompt_ids in blocks():
        search.add_to(counts, unit_rows(vectors), np.cumsum(np.diff(prompt_ids, prepend=prompt_ids[:1]) != 0))
    return np.maximum(counts, 1)[inverse]


class _Search:
    """Unit vectors (q, d), in cells by their sketches, whose neighbours are looked for among others."""

    def __init__(self, queries: NDArray[np.float32]) -> None:
        self._queries = queries
        self._axes = sketch_axes(queries)
        self._short = sketches(queries, self._axes)
        self._centres, order, cells = by_nearest_centre(self._short)
        self._cells = np.split(order, np.cumsum([len(cell) for cell in cells])[:-1])
        between = self._centres[:, None] - self._centres
        # The unit vectors from each centre to each cell's own, and how far back along them the cell's members lie.
        self._towards = between / np.maximum(np.linalg.norm(between, axis=2, keepdims=True), 1e-12)
        self._back = np.array([
            (cell @ towards.T).min(axis=0, initial=np.inf)
            for cell, towards in zip(cells, self._towards, strict=True)
        ])  # fmt: skip

    def add_to(self, counts: Counts, others: NDArray[np.float32], of_prompt: Counts) -> None:
        """Add to the queries' (q,) counts under how many of the others' prompts, numbered in order, near ones stand."""
        short = sketches(others, self._axes)
        cell_of, reach = nearest(short, self._centres), reach_of(self._short, short)
        for members, towards, back in zip(self._cells, self._towards, self._back, strict=True):
            along = np.einsum("nr,nr->n", short, towards[cell_of])
            few = np.flatnonzero(along >= back[cell_of] - reach)
            step = max(1, _PRODUCTS // max(1, len(few)))
            for some in (members[start : start + step] for start in range(0, len(members), step)):
                may_be = self._short[some] @ short[few].T >= BOUND
                at, place = _near(self._queries[some], others, few, may_be)
                is_first = np.diff(at * len(of_prompt) + of_prompt[place], prepend=-1) != 0
                counts[some] += np.bincount(at[is_first], minlength=len(some))


def _near(
    queries: NDArray[np.float32], others: NDArray[np.float32], few: Counts, may_be: NDArray[np.bool_]
) -> tuple[Counts, Counts]:
    """Which of (p, d) queries are near which of the others at `few` (f,), of the pairs that may be (p, f); in order."""
    rows, columns = np.flatnonzero(may_be.any(axis=1)), np.flatnonzero(may_be.any(axis=0))
    if np.count_nonzero(may_be) * _SPARSE > len(rows) * len(columns):
        at, place = _places(queries[rows] @ others[few[columns]].T >= LEAST_SIMILARITY)
        return rows[at], few[columns[place]]
    at, place = _places(may_be)
    place = few[place]
    step = max(1, _GATHERED // queries.shape[1])
    parts = [slice(start, start + step) for start in range(0, len(at), step)]
    products = [np.einsum("pd,pd->p", queries[at[part]], others[place[part]]) for part in parts]
    is_near = np.concatenate([np.empty(0, np.float32), *products]) >= LEAST_SIMILARITY
    return at[is_near], place[is_near]


def _places(is_true: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """`numpy.nonzero` of a matrix, which takes three times as long."""
    at, place = np.divmod(np.flatnonzero(is_true), max(1, is_true.shape[1]))
    return at, place
