"""Under how many prompts a response stands: close neighbours under other prompts (refusals, fixed texts).

Two sieves before a search: who shares a cell with nobody near is asked for no more (`may_repeat`), nor who has too few
near by a bound (`may_have_near`); the others are searched for (`prompt_counts`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.selection.similarity import as_float32

Ids = NDArray[np.int64]
# (q, d) queries and k → ids (q, k), −1 where there is none, and their cosines, the most similar first.
Search = Callable[[NDArray[np.floating], int], tuple[Ids, NDArray[np.float32]]]

LEAST_SIMILARITY = 0.98
MOST_NEIGHBOURS = 256  # a count is of the prompts among so many nearest; from there on it says “at least”
_FIRST_NEIGHBOURS = 16  # most have no close neighbour at all: few are asked for at first, more where all are close
# Letters and digits. A shorter answer (“Yes.”, “Paris”, a number) is often right under many prompts.
SHORTEST_BOILERPLATE = 25
_AXES = 47  # 48 numbers a sketch: a tenth of the time of whole vectors
_SAMPLED = 1_024
# Vectors at cosine 0.98 (distance 0.2) share a cell of one table with a chance of 0.11, so of any with one of 0.99;
# unlike ones of one table with 6e-7 at distance 1.3, with 5e-4 at 0.6, where mean hidden states are.
_TABLES, _HASHES, _CELL_WIDTH, _SEED = 40, 10, 0.8, 0
_LARGEST_CELL = 4_096
_CELL_ROWS = 256  # looked at together
_SKETCH_TOLERANCE = 1e-5  # of sums of float32 products
_SKETCH_ROWS, _SKETCH_COLUMNS = 512, 2_048  # their products stay in the cache


def is_boilerplate_length(text: str) -> bool:
    """Whether a text is long enough to be called boilerplate: 25 letters and digits."""
    return sum(1 for _ in islice(filter(str.isalnum, text), SHORTEST_BOILERPLATE)) == SHORTEST_BOILERPLATE


def sketch_axes(sample: NDArray[np.floating]) -> NDArray[np.float32]:
    """The 47 axes, or fewer, along which some (n, d) vectors differ most from 0: (d, r) orthonormal columns."""
    return np.ascontiguousarray(np.linalg.svd(_unit(sample[:_SAMPLED]), full_matrices=False)[2][:_AXES].T)


def sketches(vectors: NDArray[np.floating], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Short vectors whose inner products are no less than the cosines of the (n, d) vectors, none zero: (n, r + 1).

    The coordinates along the axes, and the length of what is left: u · v ≤ Σ u_r v_r + |u_rest| |v_rest|.
    """
    along = _unit(vectors) @ axes
    rest = np.sqrt(np.maximum(1 - np.einsum("nr,nr->n", along, along), 0) + _SKETCH_TOLERANCE)
    return np.concatenate([along, rest[:, None]], axis=1)


def cells(vectors: NDArray[np.floating]) -> NDArray[np.uint16]:
    """In which cell of each of 40 tables (n, d) vectors, none zero, lie: (n, 40). Near ones nearly always share one.

    A cell is what ten random directions, each cut into steps of 0.8, have in common (Datar et al. 2004), and what falls
    on the same number by chance. They are the same for the same dimension.
    """
    rng = np.random.default_rng(_SEED)
    directions = rng.standard_normal((vectors.shape[1], _TABLES * _HASHES), dtype=np.float32) / _CELL_WIDTH
    steps = np.floor(_unit(vectors) @ directions + rng.random(_TABLES * _HASHES, dtype=np.float32))
    factors = rng.integers(0, 2**62, _HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = (steps.astype(np.int64).view(np.uint64).reshape(-1, _TABLES, _HASHES) * factors).sum(axis=2)
    numbers: NDArray[np.uint16] = (mixed >> np.uint64(48)).astype(np.uint16)
    return numbers


def may_repeat(of_run: NDArray[np.float32], in_cells: NDArray[np.uint16], prompt_ids: Ids) -> NDArray[np.bool_]:
    """Whether another prompt's response may be at cosine 0.98 or more: (n,), in time that grows with n, not with n².

    Of those that one other is near, 1 % is overlooked at a cosine of just 0.98, 0.1 % at 0.985, none where they are
    equal; of those that five are near, nobody.

    Args:
        of_run: sketches (n, r + 1).
        in_cells: where they lie, (n, 40).
        prompt_ids: whose they are, (n,).
    """
    found = np.zeros(len(of_run), np.bool_)
    for table in in_cells.T:
        is_large = np.bincount(table, minlength=1)[table] > _LARGEST_CELL
        found |= is_large  # of vectors that are all alike: who lies there is not ruled out
        order = np.argsort(table, kind="stable")
        order = order[~is_large[order]]
        ordered = table[order]
        for start in range(0, len(order), _CELL_ROWS):
            rows = order[start : start + _CELL_ROWS]
            first, last = np.searchsorted(ordered, table[rows[0]]), np.searchsorted(ordered, table[rows[-1]], "right")
            others = order[first:last]
            at, place = np.nonzero(of_run[rows] @ of_run[others].T >= LEAST_SIMILARITY - _SKETCH_TOLERANCE)
            at, place = rows[at], others[place]
            found[at[(table[at] == table[place]) & (prompt_ids[at] != prompt_ids[place])]] = True
    return found


def may_have_near(queries: NDArray[np.float32], of_run: NDArray[np.float32], *, beyond: int) -> NDArray[np.bool_]:
    """Whether more than `beyond` of the run's may be at cosine 0.98 or more of each query, itself included: (q,).

    Told by (q, r + 1) and (n, r + 1) sketches: who is told not to has not so many.
    """
    counts = np.zeros(len(queries), np.int64)
    for row in range(0, len(queries), _SKETCH_ROWS):
        block = slice(row, row + _SKETCH_ROWS)
        for start in range(0, len(of_run), _SKETCH_COLUMNS):
            bounds = queries[block] @ of_run[start : start + _SKETCH_COLUMNS].T
            counts[block] += np.count_nonzero(bounds >= LEAST_SIMILARITY - _SKETCH_TOLERANCE, axis=1)
    return counts > beyond


def prompt_counts(queries: NDArray[np.floating], search: Search, prompt_of: tuple[Ids, Ids]) -> Ids:
    """Under how many prompts each response or a near one stands, its own among them: (q,) int64, at least 1.

    Counted among its 256 nearest at cosine 0.98 and more, itself and its own prompt's included. Equal vectors are
    searched for once.

    Args:
        queries: (q, d) vectors of responses that `search` finds too.
        search: nearest neighbours among the run's candidates.
        prompt_of: the candidates' ids, rising, and the prompt of each.
    """
    if not len(queries):
        return np.empty(0, np.int64)
    rows = np.ascontiguousarray(queries)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    distinct = rows[firsts]
    counts = np.ones(len(distinct), np.int64)
    open_rows, count = np.arange(len(distinct)), _FIRST_NEIGHBOURS
    while len(open_rows):
        ids, similarities = search(distinct[open_rows], count)
        is_near = (similarities >= LEAST_SIMILARITY) & (ids >= 0)
        counts[open_rows] = [
            max(1, len(set(_prompts(found[near], prompt_of)))) for found, near in zip(ids, is_near, strict=True)
        ]
        open_rows = open_rows[is_near[:, -1]] if count < MOST_NEIGHBOURS else open_rows[:0]
        count = min(4 * count, MOST_NEIGHBOURS)
    return counts[inverse]


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = as_float32(vectors)
    unit: NDArray[np.float32] = rows / np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return unit


def _prompts(ids: Ids, prompt_of: tuple[Ids, Ids]) -> list[int]:
    known, prompts = prompt_of
    found: list[int] = prompts[np.searchsorted(known, ids)].tolist()
    return found
