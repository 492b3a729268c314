"""The nearest responses among millions: exact cosine search over FAISS. The only file that imports faiss.

FAISS proposes candidates; this file ranks them, because FAISS leaves the order of equal similarities open, and differs
between the CPU and the GPU there. Knows no database and no file: the index is rebuilt from the vectors it is given.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_log = logging.getLogger(__name__)

# Candidates fetched beyond k, so that a tie at the last place seldom needs a second search.
_SPARE = 16
# How far FAISS's own similarity may be from ours: float32 sums of products in another order, d up to some 10,000. On
# the GPU vectors and queries are float16.
_CPU_TOLERANCE = 1e-5
_GPU_TOLERANCE = 2e-3
# Queries searched at once: enough for a matrix product at full speed, few enough to keep the candidates small.
_QUERIES_PER_BLOCK = 1024
# GpuIndexFlat refuses a larger k.
_GPU_LIMIT = 2048


class VectorIndex:
    """Exact nearest neighbours by cosine, on the GPU in float16 where FAISS has one, else on the CPU in float32."""

    def __init__(self, flat: Any, ids: NDArray[np.int64], *, is_on_gpu: bool) -> None:
        """Use `build`. `flat` is a FAISS index of n unit vectors, `ids` (n,) are their ids in the same order."""
        self._flat = flat
        self._ids = ids
        self._tolerance = _GPU_TOLERANCE if is_on_gpu else _CPU_TOLERANCE
        self._limit = min(len(ids), _GPU_LIMIT) if is_on_gpu else len(ids)

    @classmethod
    def build(cls, blocks: Iterable[tuple[ArrayLike, ArrayLike]]) -> VectorIndex:
        """Build an index from blocks of (ids, vectors), one block in float32 at a time beside the index.

        On the CPU 1M vectors of 768 components take 3 GB, and up to twice that for a moment while the index grows.

        Args:
            blocks: ids (n,) and vectors (n, d) of any norm but zero and any float type, memory-mapped shards included.

        Raises:
            ValueError: if there is no vector, a vector has no direction, an id occurs twice, or dimensions differ.
        """
        flat: Any = None
        is_on_gpu = False
        ids: list[NDArray[np.int64]] = []
        for block_ids, block_vectors in blocks:
            vectors = _unit_rows(block_vectors)
            ids.append(np.asarray(block_ids, dtype=np.int64))
            if ids[-1].shape != (len(vectors),):
                raise ValueError(f"a block needs one id for each of its {len(vectors)} vectors, got {ids[-1].shape}")
            if flat is None:
                flat, is_on_gpu = _empty_index(vectors.shape[1])
            if vectors.shape[1] != flat.d:
                raise ValueError(f"a block has {vectors.shape[1]} dimensions, the ones before it {flat.d}")
            flat.add(vectors)
        if flat is None or not flat.ntotal:
            raise ValueError("an index needs at least 1 vector, got none; embed responses first")
        all_ids = np.concatenate(ids)
        _check_unique(all_ids)
        return cls(flat, all_ids, is_on_gpu=is_on_gpu)

    def __len__(self) -> int:
        return len(self._ids)

    def search(
        self, queries: ArrayLike, k: int, *, exclude: Sequence[Collection[int]] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k most similar vectors of each query, most similar first, equal ones by id.

        Equal vectors have exactly equal similarities, wherever they stand in the index. On the GPU, where at most 2,048
        candidates can be fetched, a tie wider than that is cut off arbitrarily.

        Args:
            queries: (m, d) of any norm but zero.
            k: neighbours wanted, at least 1.
            exclude: for each query the ids that are no answer to it (its own, its prompt's), or None for no exclusion.

        Returns:
            ids (m, k) int64 and cosine similarities (m, k) float32; where fewer than k vectors are left the rest of the
            row is id -1 with similarity -inf.

        Raises:
            ValueError: if k < 1, a query has no direction or another dimension, or `exclude` has not m entries.
        """
        unit = _unit_rows(queries)
        self._check_search(unit, k, exclude)
        excluded = [frozenset(ids) for ids in exclude] if exclude is not None else [frozenset()] * len(unit)
        ids = np.full((len(unit), k), -1, dtype=np.int64)
        similarities = np.full((len(unit), k), -np.inf, dtype=np.float32)
        for start in range(0, len(unit), _QUERIES_PER_BLOCK):
            block = slice(start, start + _QUERIES_PER_BLOCK)
            widest = max(len(excluded_ids) for excluded_ids in excluded[block])
            fetched, positions = self._flat.search(unit[block], min(k + widest + _SPARE, self._limit))
            for row, query in enumerate(unit[block], start):
                found_ids, found_similarities = self._nearest(
                    query, k, excluded[row], fetched=fetched[row - start], positions=positions[row - start]
                )
                ids[row, : len(found_ids)] = found_ids
                similarities[row, : len(found_similarities)] = found_similarities
        return ids, similarities

    def _nearest(
        self,
        query: NDArray[np.float32],
        k: int,
        excluded_ids: Collection[int],
        *,
        fetched: NDArray[np.float32],
        positions: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rank one query's candidates, fetching more until none that is left out could belong among the first k."""
        while True:
            ids, similarities = self._ranked(query, positions, excluded_ids)
            is_settled = len(ids) >= k and fetched[-1] < similarities[k - 1] - self._tolerance
            if is_settled or len(positions) >= self._limit:
                return ids[:k], similarities[:k]
            wider = self._flat.search(query[None], min(4 * len(positions), self._limit))
            fetched, positions = wider[0][0], wider[1][0]

    def _ranked(
        self, query: NDArray[np.float32], positions: NDArray[np.int64], excluded_ids: Collection[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids = self._ids[positions]
        if excluded_ids:
            is_kept = ~np.isin(ids, list(excluded_ids))
            ids, positions = ids[is_kept], positions[is_kept]
        if not len(ids):
            return ids, np.empty(0, dtype=np.float32)
        vectors = self._flat.reconstruct_batch(positions)
        # Not a matrix product: BLAS may sum equal rows differently, depending on where in the block they stand.
        similarities = np.einsum("nd,d->n", vectors, query)
        order = np.lexsort((ids, -similarities))
        return ids[order], similarities[order]

    def _check_search(self, queries: NDArray[np.float32], k: int, exclude: Sequence[Collection[int]] | None) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if queries.shape[1] != self._flat.d:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, the index {self._flat.d}")
        if exclude is not None and len(exclude) != len(queries):
            raise ValueError(f"exclude needs one entry for each of the {len(queries)} queries, got {len(exclude)}")


def _unit_rows(raw: ArrayLike) -> NDArray[np.float32]:
    """A copy of the rows divided by their norms, which stored float16 rows are only to 5e-4: cosine asks for it."""
    vectors = np.array(raw, dtype=np.float32, order="C")
    if vectors.ndim != 2:
        raise ValueError(f"vectors must be (n, d), got {vectors.shape}")
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    unusable = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if unusable.size:
        raise ValueError(
            f"{unusable.size} of {len(vectors)} vectors have no direction, the first at row {unusable[0]} with norm "
            f"{norms[unusable[0]]}; leave out responses without tokens"
        )
    vectors /= norms[:, None]
    return vectors


def _check_unique(ids: NDArray[np.int64]) -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise ValueError(
            f"id {unique[counts > 1][0]} occurs {counts.max()} times; give each response once, "
            "from the shard that its record names"
        )


def _empty_index(dimension: int) -> tuple[Any, bool]:
    """An empty flat index, and whether it is on the GPU; says in the log which."""
    import faiss

    if not hasattr(faiss, "GpuIndexFlatIP"):
        _log.warning("vectors are searched on the CPU: this faiss is built without GPU support (faiss-cpu)")
        return faiss.IndexFlatIP(dimension), False
    if faiss.get_num_gpus() == 0:
        _log.warning("vectors are searched on the CPU: faiss sees no GPU")
        return faiss.IndexFlatIP(dimension), False
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = True
    try:
        flat = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), dimension, config)
        probe = np.ones((1, dimension), dtype=np.float32)
        flat.add(probe)
        flat.search(probe, 1)
        flat.reset()
    except RuntimeError as error:  # a build without kernels for this GPU: faiss-gpu-cu12 1.13.2 on an H100
        _log.warning("vectors are searched on the CPU: faiss cannot use the GPU: %s", error)
        return faiss.IndexFlatIP(dimension), False
    _log.info("vectors are searched on the GPU in float16")
    return flat, True
