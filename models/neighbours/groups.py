"""Groups of nearly the same prompts: the connected parts of the graph of all pairs at or above a similarity.

Mean hidden states of causal language models share one large direction, so that the cosines of unlike prompts are high
(measured: docs/decisions/0038). The mean over the run's prompts is taken away before cosines are made.

All pairs are looked at, most of them in a few dimensions: with P a projection onto some axes, cos(a, b) is at most
Pa·Pb + |a − Pa||b − Pb| (Cauchy and Schwarz), an inner product of vectors of one component more than there are axes.
Where that is below the similarity, so is the cosine. Which axes only decides how fast it is. A product of matrices
never decides itself: BLAS may sum equal rows differently, depending on where in a block they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Blocks = Callable[[], Iterable[tuple[ArrayLike, ArrayLike]]]  # ids (n,) and vectors (n, d), anew at each call

# Below so many prompts a mean says more of the prompts than of the model: two that are alike would be opposites.
LEAST_FOR_A_MEAN = 32
_AXES, _AXES_OF, _SEED = 64, 4_096, 0
_QUERIES, _ROWS, _PAIRS = 512, 2_048, 8_192  # looked at together: 4 MB of bounds, pairs of 50 MB at d = 768
_BOUND_ERROR = 1e-4  # of float32 sums of products, at most, generously
_MOST_OPEN = 0.01  # of the pairs: where the bounds leave more, a product of all components is faster than pair by pair
_ROUNDING = 1e-6  # of the cosine, so that equal vectors are near at a similarity of 1
# A prompt that is so near the mean has no direction of its own left: what float16 storage leaves is noise.
_LEAST_NORM = 1e-3


class Centre:
    """The mean direction of a run's prompts, which is taken away; nothing is, of fewer than `LEAST_FOR_A_MEAN`."""

    def __init__(self, mean: NDArray[np.float32] | None, shape: tuple[int, int]) -> None:
        """Use `of`."""
        self._mean = mean
        self.shape = shape  # of all the vectors that it was made of

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
        shape = count, 0 if total is None else len(total)
        if total is None or count < LEAST_FOR_A_MEAN:
            return cls(None, shape)
        return cls((total / count).astype(np.float32), shape)

    def apply(self, vectors: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The vectors (n, d) as unit vectors without the mean, and which of them (n,) have a direction left."""
        units = _units(vectors)
        if self._mean is None:
            return units, np.ones(len(units), dtype=np.bool_)
        centred = units - self._mean
        norms = np.sqrt(np.einsum("nd,nd->n", centred, centred))
        has_direction = norms > _LEAST_NORM
        centred /= np.where(has_direction, norms, 1)[:, None]
        return centred, has_direction


class Near(NamedTuple):
    """A query's row, the ids (n,) of what is near it, and their similarities (n,)."""

    row: int
    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]


class PromptIndex:
    """A run's prompts by direction, without what all of them share; of float16 vectors 2 × d + 268 bytes a prompt."""

    def __init__(self, blocks: Blocks) -> None:
        """Read the blocks twice: for the mean, and for the directions.

        Vectors are (n, d) of any norm but zero, and kept as they come; all blocks have the number format of the first.
        """
        self.centre = Centre.of(blocks)
        self._ids = np.empty(self.centre.shape[0], dtype=np.int64)
        self._vectors: NDArray[Any] = np.empty(self.centre.shape, dtype=np.float32)
        count = 0
        for ids, vectors in blocks():
            rows = np.asarray(vectors)
            if not count:
                self._vectors = np.empty(self.centre.shape, dtype=rows.dtype)
            _, has_direction = self.centre.apply(rows)
            kept = slice(count, count := count + int(has_direction.sum()))
            self._ids[kept] = np.asarray(ids, dtype=np.int64)[has_direction]
            self._vectors[kept] = rows[has_direction]
        self._ids, self._vectors = self._ids[:count], self._vectors[:count]
        some = np.arange(count) if count <= _AXES_OF else np.random.default_rng(_SEED).choice(count, _AXES_OF, False)
        self._axes = _axes_of(self._directions(some))
        self._bounds = np.empty((count, self._axes.shape[1] + 1), np.float32)
        for start in range(0, count, _ROWS):
            block = slice(start, start + _ROWS)
            self._bounds[block] = self._bounding(self._directions(block))

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids (n,) of the prompts that have a direction."""
        return self._ids

    def near(self, queries: ArrayLike, similarity: float) -> Iterator[Near]:
        """All prompts at or above a similarity to a query, for each query that has any.

        Most similar first, equal ones by id.

        Args:
            queries: (m, d) of any norm but zero, as the embedder gave them.
            similarity: the least cosine, of vectors without the mean.
        """
        if not len(self):
            return
        centred, has_direction = self.centre.apply(queries)
        asked = np.flatnonzero(has_direction)
        for start in range(0, len(asked), _QUERIES):
            rows = asked[start : start + _QUERIES]
            at, places, similarities = self._near(centred[rows], similarity)
            order = np.lexsort((self._ids[places], -similarities, at))
            ids, similarities = self._ids[places[order]], similarities[order]
            ends = np.cumsum(np.bincount(at, minlength=len(rows)))
            for row, first, end in zip(rows.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                if end > first:
                    yield Near(row, ids[first:end], similarities[first:end])

    def near_each_other(self, similarity: float) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.int32]]]:
        """All pairs of prompts at or above a similarity, by place in `ids`: each once at least, some both ways round.

        Yields how many prompts were compared with all after them, and the places (n,) of both sides of the pairs found.
        """
        for start in range(0, len(self), _QUERIES):
            queries = self._directions(slice(start, start + _QUERIES))
            at, places, _ = self._near(queries, similarity, first=start)
            yield start + len(queries), at + np.int32(start), places

    def _near(
        self, queries: NDArray[np.float32], similarity: float, *, first: int = 0
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """Query, place from `first` on, and cosine of all pairs at or above the similarity; queries have length 1."""
        bounding = self._bounding(queries)
        found = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))]
        for start in range(first, len(self), _ROWS):
            block = slice(start, start + _ROWS)
            is_open = bounding @ self._bounds[block].T >= similarity - _BOUND_ERROR
            if not is_open.any():
                continue
            if np.count_nonzero(is_open) > _MOST_OPEN * is_open.size:
                is_open = queries @ self._directions(block).T >= similarity - _BOUND_ERROR
            # `nonzero` of a matrix takes five times as long.
            at, places = (part.astype(np.int32) for part in np.divmod(np.flatnonzero(is_open), is_open.shape[1]))
            places += start
            for done in range(0, len(at), _PAIRS):
                pairs = slice(done, done + _PAIRS)
                cosines = np.einsum("nd,nd->n", queries[at[pairs]], self._directions(places[pairs]))
                is_near = cosines >= similarity - _ROUNDING
                found.append((at[pairs][is_near], places[pairs][is_near], cosines[is_near]))
        every_at, every_place, every_cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return every_at, every_place, every_cosine

    def _directions(self, which: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """The prompts' unit vectors (n, d) without the mean."""
        return self.centre.apply(self._vectors[which])[0]

    def _bounding(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """The components along the axes, and what is left beside them: (n, axes + 1)."""
        along = units @ self._axes
        left = units - along @ self._axes.T
        return np.concatenate([along, np.sqrt(np.einsum("nd,nd->n", left, left))[:, None]], axis=1)


def prompt_groups(
    index: PromptIndex, *, similarity: float, on_rows: Callable[[int, int], None] = lambda done, total: None
) -> dict[int, int]:
    """Prompt id → the lowest id of its group; prompts that are in none are missing.

    A group is a connected part: two prompts of one may be less alike than `similarity`, with others between them.

    Args:
        index: of the prompts.
        similarity: the least cosine, of vectors without the mean, of two prompts that are nearly the same.
        on_rows: told how many prompts were compared with all others, and how many there are.
    """
    order = np.argsort(index.ids)
    all_ids = index.ids[order]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    parents = np.arange(len(all_ids))  # by place in all_ids: of the same part so far, never a higher one
    for done, ones, others in index.near_each_other(similarity):
        by_one = np.argsort(ones, kind="stable")
        _, starts = np.unique(ones[by_one], return_index=True)
        for near in np.split(rank[others[by_one]], starts[1:]):  # one itself is among those that are near it
            if len(near) > 1:
                roots = _roots(parents, near)
                parents[roots] = parents[near] = roots.min()
        on_rows(done, len(index))
    roots = _roots(parents, np.arange(len(all_ids)))
    is_in_group = np.bincount(roots, minlength=1)[roots] > 1
    return dict(zip(all_ids[is_in_group].tolist(), all_ids[roots[is_in_group]].tolist(), strict=True))


def _roots(parents: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest place of the part that each place is in so far."""
    roots = places
    while ((above := parents[roots]) != roots).any():
        roots = above
    return roots


def _axes_of(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orthonormal axes (d, a) along which the (n, d) vectors differ most, nearly: subspace iteration."""
    count, dimension = units.shape
    axes = np.random.default_rng(_SEED).standard_normal((dimension, min(_AXES, dimension)), dtype=np.float32)
    for _ in range(3):
        axes = np.linalg.qr(units.T @ (units @ axes) if count else axes)[0]
    return axes


def _units(vectors: ArrayLike) -> NDArray[np.float32]:
    units = np.array(vectors, dtype=np.float32)
    units /= np.sqrt(np.einsum("nd,nd->n", units, units))[:, None]
    return units
