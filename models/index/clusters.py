"""Vectors that are alike, in clusters: FAISS's spherical k-means, on the GPU where FAISS has one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.index.library import load_faiss
from models.index.segments import Device, unit_rows

ITERATIONS = 25
SAMPLED_PER_CLUSTER = 256  # FAISS's own bound: more vectors move no centre by much
_ROWS_AT_ONCE = 1 << 16


def clusters_of(
    read: Callable[[NDArray[np.int64]], ArrayLike], count: int, *, clusters: int, seed: int
) -> NDArray[np.int64]:
    """The cluster of each of `count` vectors: (count,) numbers from 0 on; one that nothing is nearest to has none.

    The same vectors in the same order under the same seed give the same clusters on one machine; another device may
    round otherwise, and put a vector that lies between two clusters into the other.

    Args:
        read: gives the vectors (m, d) of these rows, of any norm but zero.
        count: how many there are.
        clusters: how many clusters, at least 1 and at most `count`.
        seed: of the first centres.

    Raises:
        ValueError: if there are more clusters than vectors, or a vector has no direction.
    """
    faiss = load_faiss()

    if not 1 <= clusters <= max(count, 1):
        raise ValueError(f"expected 1 to {count} clusters, as many as vectors at most, got {clusters}")
    if clusters == 1:
        return np.zeros(count, dtype=np.int64)
    wanted = min(count, SAMPLED_PER_CLUSTER * clusters)
    sample = np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False)).astype(np.int64)
    vectors = unit_rows(read(sample))
    means = faiss.Kmeans(
        vectors.shape[1],
        clusters,
        niter=ITERATIONS,
        spherical=True,
        seed=seed % 2**31,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLED_PER_CLUSTER,
        gpu=1 if Device(vectors.shape[1]).has_gpu else False,
    )
    means.train(vectors)
    found = np.empty(count, dtype=np.int64)
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, count), dtype=np.int64)
        _, nearest = means.index.search(unit_rows(read(rows)), 1)
        found[rows] = nearest[:, 0]
    return found
