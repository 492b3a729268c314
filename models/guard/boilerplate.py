"""Under how many prompts a response stands: close neighbours under other prompts (refusals, fixed texts).

Two sieves come before the comparison (sketches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.selection.similarity import as_float32

Ids = NDArray[np.int64]
# All of a run's vectors (n, d), block by block, and of which prompt each is (n,), a prompt's own in one block and side
# by side; anew at each call.
Blocks = Callable[[], Iterable[tuple[NDArray[np.floating], Ids]]]

LEAST_SIMILARITY = 0.98
# Letters and digits. A shorter answer (“Yes.”, “Paris”, a number) is often right under many prompts.
SHORTEST_BOILERPLATE = 25
_PRODUCTS = 2**22  # at a time


def is_boilerplate_length(text: str) -> bool:
    """Whether a text is long enough to be called boilerplate: 25 letters and digits."""
    return sum(1 for _ in islice(filter(str.isalnum, text), SHORTEST_BOILERPLATE)) == SHORTEST_BOILERPLATE


def prompt_counts(queries: NDArray[np.floating], blocks: Blocks) -> Ids:
    """Under how many prompts each response or a near one stands, its own among them: (q,) int64, at least 1.

    Near is a cosine of 0.98 and more, by float32 products of matrices: within 1e-6 of it either may come. Each
    different query is compared with each vector once, a block of them in memory.

    Args:
        queries: (q, d) vectors of responses that are in the blocks too.
        blocks: the run's candidates.
    """
    if not len(queries):
        return np.empty(0, np.int64)
    rows = np.ascontiguousarray(queries)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    distinct = unit_rows(rows[firsts])
    counts = np.zeros(len(distinct), np.int64)
    for vectors, prompt_ids in blocks():
        others = unit_rows(vectors).T
        firsts_of_prompts = np.flatnonzero(np.diff(prompt_ids, prepend=-1))
        step = max(1, _PRODUCTS // len(prompt_ids))
        for start in range(0, len(distinct), step):
            is_near = distinct[start : start + step] @ others >= LEAST_SIMILARITY
            counts[start : start + step] += np.logical_or.reduceat(is_near, firsts_of_prompts, axis=1).sum(axis=1)
    return np.maximum(counts, 1)[inverse]


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The vectors (n, d), none zero, divided by their norms."""
    rows = as_float32(vectors)
    unit: NDArray[np.float32] = rows / np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return unit
