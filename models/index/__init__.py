"""The nearest responses among millions: exact cosine search over FAISS. Only this package imports faiss.

FAISS proposes candidates; this file ranks them, because FAISS leaves the order of equal similarities open, and differs
between the CPU and the GPU there. Knows no database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.index.factory import Factory
from models.index.segments import Device, Segment, flat_indexes, unit_rows

# Candidates fetched beyond k, so that a tie at the last place seldom needs a second search.
_SPARE = 16
# How far FAISS's own similarity may be from ours: float32 sums of products in another order, d up to some 10,000. On
# the GPU vectors and queries are float16.
_CPU_TOLERANCE = 1e-5
_GPU_TOLERANCE = 2e-3
# Queries searched at once: enough for a matrix product at full speed, few enough to keep the candidates small.
_QUERIES_PER_BLOCK = 1024
_CANDIDATES_AT_ONCE = 1 << 20  # similarities, positions, ids and their orders, of so many: 50 MB
_COMPONENTS_AT_ONCE = 1 << 20  # of candidates that are ranked: 4 MB, which stay in the cache


class VectorIndex:
    """Nearest neighbours by cosine in float32; proposed by the GPU in float16 where FAISS has one.

    Exact, unless a `Factory` proposes.
    """

    def __init__(self, segments: Sequence[Segment], device: Device, factory: Factory | None = None) -> None:
        """Use `build`, or `models.index.kept` for the one on disk.

        Args:
            segments: of one dimension, no id twice.
            device: what they were made for.
            factory: proposes among the first segments, which it covers; it may miss some. None: all is exact.
        """
        self._segments = list(segments)
        self._factory = factory
        self._device = device
        self._ids = np.concatenate([segment.ids for segment in segments])
        self._starts = np.cumsum([0, *(len(segment) for segment in segments)])
        self._tolerance = _GPU_TOLERANCE if device.has_gpu else _CPU_TOLERANCE
        self._part: tuple[NDArray[np.int64], VectorIndex | None] | None = None
        _check_unique(self._ids)

    @classmethod
    def build(cls, blocks: Iterable[tuple[ArrayLike, ArrayLike]]) -> VectorIndex:
        """Build an index in memory from blocks of (ids, vectors); 1M vectors of 768 components take 3 GB.

        Args:
            blocks: ids (n,) and vectors (n, d) of any norm but zero and any float type, memory-mapped shards included.

        Raises:
            ValueError: if there is no vector, a vector has no direction, an id occurs twice, or dimensions differ.
        """
        flats = list(flat_indexes(blocks))
        if not flats:
            raise ValueError("an index needs at least 1 vector, got none; embed responses first")
        device = Device(flats[0][0].d)
        return cls([Segment(flat, ids, device) for flat, ids in flats], device)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self._segments[0].flat.d)

    @property
    def has_gpu(self) -> bool:
        """Whether a GPU proposes."""
        return self._device.has_gpu

    @property
    def is_exact(self) -> bool:
        """Whether every search finds all that is nearest; a search among some ids always does."""
        return self._factory is None

    def rows(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ids (n,) and unit vectors (n, d) at these positions (n,), from 0 to the index's length."""
        return self._ids[positions], self._vectors(positions)

    def search(
        self,
        queries: ArrayLike,
        k: int,
        *,
        exclude: Sequence[Collection[int]] | None,
        among: ArrayLike | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k most similar vectors of each query, most similar first, equal ones by id.

        Equal vectors have exactly equal similarities, wherever they stand in the index.

        Args:
            queries: (m, d) of any norm but zero.
            k: neighbours wanted, at least 1.
            exclude: for each query the ids that are no answer to it (its own, its prompt's), or None for no exclusion.
            among: (a,) sorted int64 ids that alone may be answers; those that the index lacks are none. Their vectors
                are copied from an index that holds others too, once for searches among the same ids, and they are
                searched exactly. None: all.

        Returns:
            ids (m, k) int64 and cosine similarities (m, k) float32; where fewer than k vectors are left the rest of the
            row is id -1 with similarity -inf.

        Raises:
            ValueError: if k < 1, a query has no direction or another dimension, or `exclude` has not m entries.
        """
        unit = unit_rows(queries)
        self._check_search(unit, k, exclude)
        excluded = [frozenset(ids) for ids in exclude] if exclude is not None else [frozenset()] * len(unit)
        searched = self if among is None else self._among(among)
        return searched._search(unit, k, excluded) if searched else _no_answers(len(unit), k)

    def least_of_nearest(self, units: NDArray[np.float32], k: int) -> NDArray[np.float32]:
        """The similarity (m,) of the last of the k nearest, or of all, of unit vectors (m, d): without asking which.

        A search reads on for who has the lowest id of equally similar ones. On a GPU one may be missed that FAISS,
        which rounds there, has behind 16 others.
        """
        least = np.empty(len(units), dtype=np.float32)
        for start in range(0, len(units), _QUERIES_PER_BLOCK):
            block = units[start : start + _QUERIES_PER_BLOCK]
            _, positions = self._propose(block, k + _SPARE, is_exact=True)
            _, found = self._ranked(block, positions, [frozenset()] * len(block))
            least[start : start + len(block)] = found[:, min(k, found.shape[1]) - 1]
        return least

    def _search(
        self, unit: NDArray[np.float32], k: int, excluded: Sequence[Collection[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids, similarities = _no_answers(len(unit), k)
        for start in range(0, len(unit), _QUERIES_PER_BLOCK):
            rows = np.arange(start, min(start + _QUERIES_PER_BLOCK, len(unit)))
            width = k + max(len(excluded[row]) for row in rows.tolist()) + _SPARE
            for settled, found_ids, found in self._nearest(unit, rows, k, excluded, width=width):
                ids[settled, : found.shape[1]] = found_ids
                similarities[settled, : found.shape[1]] = found
        return ids, similarities

    def _nearest(
        self,
        unit: NDArray[np.float32],
        rows: NDArray[np.int64],
        k: int,
        excluded: Sequence[Collection[int]],
        *,
        width: int,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        """Rank the candidates of these queries, fetching more until none left out could belong among the first k.

        Candidates of a factory are as many as there will be, unless they are too few: then the search is exact. The
        queries that need more are searched for together. Yields queries (r,) with their ids and similarities (r, w),
        w = k at most.
        """
        is_exact = self.is_exact
        while len(rows):
            unsettled = [rows[:0]]
            step = max(1, _CANDIDATES_AT_ONCE // width)
            for block in (rows[start : start + step] for start in range(0, len(rows), step)):
                fetched, positions = self._propose(unit[block], width, is_exact=is_exact)
                ids, found = self._ranked(unit[block], positions, [excluded[row] for row in block.tolist()])
                # Fewer candidates than k: nothing is as near as -inf.
                kth = found[:, k - 1] if found.shape[1] >= k else np.full(len(block), -np.inf, dtype=np.float32)
                is_settled = fetched[:, -1] < kth - self._tolerance if is_exact else kth > -np.inf
                if is_exact and positions.shape[1] >= len(self):
                    is_settled[:] = True
                yield block[is_settled], ids[is_settled, :k], found[is_settled, :k]
                unsettled.append(block[~is_settled])
            rows, width, is_exact = np.concatenate(unsettled), 4 * width, True

    def _among(self, raw: ArrayLike) -> VectorIndex | None:
        """The index of these ids alone, which is itself if it has no other; None if it has none of them."""
        among = np.asarray(raw, dtype=np.int64)
        if among.ndim != 1:
            raise ValueError(f"among must be ids (a,), got {among.shape}")
        if self._part is None or not np.array_equal(self._part[0], among):
            masks = [np.isin(segment.ids, among) for segment in self._segments]
            parts = [segment.part(mask, self._device) for segment, mask in zip(self._segments, masks, strict=True)]
            kept = [part for part in parts if part]
            is_whole = all(mask.all() for mask in masks)
            part = self if is_whole and self.is_exact else VectorIndex(kept, self._device) if kept else None
            self._part = among.copy(), part
        return self._part[1]

    def _propose(
        self, queries: NDArray[np.float32], width: int, *, is_exact: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The `width` best by FAISS's own similarities, best first, with their positions; fewer if there are no more.

        What is left out of a segment's best is no better than the last of the best of all. Where a factory proposes,
        position -1 stands for one that it did not find.
        """
        found, covered = list[tuple[NDArray[np.float32], NDArray[np.int64]]](), 0
        if self._factory is not None and not is_exact:
            covered = len(self._factory)
            found.append(self._factory.search(queries, width))
        for segment, start in zip(self._segments, self._starts[:-1], strict=True):
            if start >= covered:
                values, rows = segment.search(queries, width)
                found.append((values, rows + start))
        similarities = np.concatenate([values for values, _ in found], axis=1)
        positions = np.concatenate([places for _, places in found], axis=1)
        if len(found) == 1:
            return similarities, positions
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :width]
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(positions, order, axis=1)

    def _ranked(
        self, queries: NDArray[np.float32], positions: NDArray[np.int64], excluded: Sequence[Collection[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and similarities (m, w) of candidates at positions (m, w), most similar first, equal ones by id.

        Who is excluded, or is at position -1, is id -1 with similarity -inf, and last.
        """
        is_kept = positions >= 0
        places = positions if is_kept.all() else np.where(is_kept, positions, 0)
        ids, similarities = self._ids[places], np.empty(places.shape, dtype=np.float32)
        step = max(1, _COMPONENTS_AT_ONCE // (places.shape[1] * self.dimension))
        for rows in (slice(start, start + step) for start in range(0, len(places), step)):
            # Not a matrix product: BLAS may sum equal rows differently, depending on where in the block they stand.
            similarities[rows] = np.einsum("mwd,md->mw", self._vectors(places[rows]), queries[rows])
        for row, of_row in enumerate(excluded):
            if of_row:
                is_kept[row] &= ~np.isin(ids[row], list(of_row))
        ids[~is_kept], similarities[~is_kept] = -1, -np.inf
        order = np.lexsort((ids, -similarities), axis=1)
        return np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)

    def _vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The unit vectors (..., d) at these positions (...)."""
        if len(self._segments) == 1:
            return self._segments[0].vectors[positions]
        vectors = np.empty((*positions.shape, self.dimension), dtype=np.float32)
        owners = np.searchsorted(self._starts, positions, side="right") - 1
        for owner in np.unique(owners):
            is_its = owners == owner
            vectors[is_its] = self._segments[owner].vectors[positions[is_its] - self._starts[owner]]
        return vectors

    def _check_search(self, queries: NDArray[np.float32], k: int, exclude: Sequence[Collection[int]] | None) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if queries.shape[1] != self.dimension:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, the index {self.dimension}")
        if exclude is not None and len(exclude) != len(queries):
            raise ValueError(f"exclude needs one entry for each of the {len(queries)} queries, got {len(exclude)}")


def _no_answers(count: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.full((count, k), -1, dtype=np.int64), np.full((count, k), -np.inf, dtype=np.float32)


def _check_unique(ids: NDArray[np.int64]) -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise ValueError(
            f"id {unique[counts > 1][0]} occurs {counts.max()} times; give each response once, "
            "from the shard that its record names"
        )
