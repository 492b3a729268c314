"""Under how many prompts a response stands: close neighbours under other prompts (refusals, fixed texts).

Two sieves come before the search (sketches.py).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
# (q, d) queries and k → ids (q, k), −1 where there is none, and their cosines, the most similar first.
Search = Callable[[NDArray[np.floating], int], tuple[Ids, NDArray[np.float32]]]

LEAST_SIMILARITY = 0.98
MOST_NEIGHBOURS = 256  # a count is of the prompts among so many nearest; from there on it says “at least”
_FIRST_NEIGHBOURS = 16  # most have no close neighbour at all: few are asked for at first, more where all are close
# Letters and digits. A shorter answer (“Yes.”, “Paris”, a number) is often right under many prompts.
SHORTEST_BOILERPLATE = 25


def is_boilerplate_length(text: str) -> bool:
    """Whether a text is long enough to be called boilerplate: 25 letters and digits."""
    return sum(1 for _ in islice(filter(str.isalnum, text), SHORTEST_BOILERPLATE)) == SHORTEST_BOILERPLATE


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


def _prompts(ids: Ids, prompt_of: tuple[Ids, Ids]) -> list[int]:
    known, prompts = prompt_of
    found: list[int] = prompts[np.searchsorted(known, ids)].tolist()
    return found
