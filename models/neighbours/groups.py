"""Groups of nearly the same prompts: the connected parts of the graph of all pairs at or above a similarity.

Mean hidden states of causal language models share one large direction, so that the cosines of unlike prompts are high
(measured: docs/decisions/0038). The mean over the run's prompts is taken away before cosines are made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.index import VectorIndex

Blocks = Callable[[], Iterable[tuple[ArrayLike, ArrayLike]]]  # ids (n,) and vectors (n, d), anew at each call

# Below so many prompts a mean says more of the prompts than of the model: two that are alike would be opposites.
LEAST_FOR_A_MEAN = 32
_FIRST_K = 8
_QUERIES = 4_096
_ANSWERS_AT_ONCE = 2**22
# A prompt that is so near the mean has no direction of its own left: what float16 storage leaves is noise.
_LEAST_NORM = 1e-3


class Centre:
    """The mean direction of a run's prompts, which is taken away; nothing is, of fewer than `LEAST_FOR_A_MEAN`."""

    def __init__(self, mean: NDArray[np.float32] | None) -> None:
        """Use `of`."""
        self._mean = mean

    @classmethod
    def of(cls, blocks: Blocks) -> Centre:
        """The mean of unit vectors, summed in float64 block by block; they may be of any norm but zero."""
        total: NDArray[np.float64] | None = None
        count = 0
        for _, vectors in blocks():
            units = _units(vectors)
            summed = units.sum(axis=0, dtype=np.float64)
            total = summed if total is None else total + summed
            count += len(units)
        if total is None or count < LEAST_FOR_A_MEAN:
            return cls(None)
        return cls((total / count).astype(np.float32))

    def apply(self, vectors: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The vectors (n, d) as unit vectors without the mean, and which of them (n,) have a direction left."""
        units = _units(vectors)
        if self._mean is None:
            return units, np.ones(len(units), dtype=np.bool_)
        centred = units - self._mean
        return centred, np.sqrt(np.einsum("nd,nd->n", centred, centred)) > _LEAST_NORM


class Near(NamedTuple):
    """A query's row, the ids (n,) of what is near it, and their similarities (n,)."""

    row: int
    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]


class PromptIndex:
    """A run's prompts by direction, without what all of them share."""

    def __init__(self, blocks: Blocks) -> None:
        """Read the blocks twice: for the mean, and for the index. Vectors are (n, d) of any norm but zero."""
        self.centre = Centre.of(blocks)
        kept = self._kept(blocks)
        first = next(kept, None)
        self._index = None if first is None else VectorIndex.build(chain([first], kept))

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def near(self, queries: ArrayLike, similarity: float) -> Iterator[Near]:
        """All prompts at or above a similarity to a query, for each query that has any.

        Most similar first, equal ones by id. The search is widened until the last neighbour is below the similarity.

        Args:
            queries: (m, d) of any norm but zero, as the embedder gave them.
            similarity: the least cosine, of vectors without the mean.
        """
        centred, has_direction = self.centre.apply(queries)
        waiting, k = np.flatnonzero(has_direction), min(_FIRST_K, len(self))
        while len(waiting) and self._index is not None:
            wider = []
            for start in range(0, len(waiting), size := max(1, _ANSWERS_AT_ONCE // k)):
                rows = waiting[start : start + size]
                ids, similarities = self._index.search(centred[rows], k, exclude=None)
                is_wider = (similarities[:, -1] >= similarity) & (k < len(self))
                wider.append(rows[is_wider])
                for at in np.flatnonzero(~is_wider & (similarities[:, 0] >= similarity)):
                    is_near = similarities[at] >= similarity
                    yield Near(int(rows[at]), ids[at, is_near], similarities[at, is_near])
            waiting, k = np.concatenate(wider), min(4 * k, len(self))

    def _kept(self, blocks: Blocks) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for ids, vectors in blocks():
            centred, has_direction = self.centre.apply(vectors)
            if has_direction.any():
                yield np.asarray(ids, dtype=np.int64)[has_direction], centred[has_direction]


def prompt_groups(index: PromptIndex, blocks: Blocks, *, similarity: float) -> dict[int, int]:
    """Prompt id → the lowest id of its group; prompts that are in none are missing.

    A group is a connected part: two prompts of one may be less alike than `similarity`, with others between them.

    Args:
        index: of the same blocks.
        blocks: the prompts' ids and vectors.
        similarity: the least cosine, of vectors without the mean, of two prompts that are nearly the same.
    """
    parents: dict[int, int] = {}
    for ids, vectors in blocks():
        all_ids, array = np.asarray(ids, dtype=np.int64), np.asarray(vectors)
        for start in range(0, len(all_ids), _QUERIES):
            part = slice(start, start + _QUERIES)
            for near in index.near(array[part], similarity):
                for other in near.ids.tolist():
                    _join(parents, int(all_ids[start + near.row]), other)
    roots = {id_: _root(parents, id_) for id_ in sorted(parents)}
    sizes = Counter(roots.values())
    return {id_: root for id_, root in roots.items() if sizes[root] > 1}


def _join(parents: dict[int, int], one: int, other: int) -> None:
    low, high = sorted((_root(parents, one), _root(parents, other)))
    parents[high] = low


def _root(parents: dict[int, int], id_: int) -> int:
    """The lowest id of the part that an id is in so far; the way there is made short."""
    root = id_
    while (above := parents.setdefault(root, root)) != root:
        root = above
    while parents[id_] != root:
        parents[id_], id_ = root, parents[id_]
    return root


def _units(vectors: ArrayLike) -> NDArray[np.float32]:
    units = np.array(vectors, dtype=np.float32)
    units /= np.sqrt(np.einsum("nd,nd->n", units, units))[:, None]
    return units
