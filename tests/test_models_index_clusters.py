"""Clusters of vectors: found where they are plain, the same again, near what a slow twin finds."""

from __future__ import annotations

import numpy as np
import pytest

from models.index.clusters import clusters_of


def blobs(count=300, blobs=5, dimension=16, spread=0.1):
    rng = np.random.default_rng(0)
    centres = np.eye(dimension)[:blobs]
    owner = rng.integers(0, blobs, count)
    rows = centres[owner] + spread * rng.standard_normal((count, dimension)) / np.sqrt(dimension)
    return (rows * rng.uniform(0.1, 9, (count, 1))).astype(np.float16), owner


def test_plain_clusters_are_found_whatever_the_norms_and_however_often():
    rows, owner = blobs()
    asked = []

    def read(numbers):
        asked.append(len(numbers))
        return rows[numbers]

    found = clusters_of(read, len(rows), clusters=5, seed=1)
    assert found.dtype == np.int64 and 0 <= found.min() <= found.max() < 5 and sum(asked) == 600
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    assert cohesion(unit, found) >= 0.8 * cohesion(unit, owner)
    np.testing.assert_array_equal(found, clusters_of(read, len(rows), clusters=5, seed=1))


def cohesion(unit, clusters):
    """The mean cosine of each vector to the direction of its cluster's mean."""
    total = 0.0
    for cluster in np.unique(clusters):
        own = unit[clusters == cluster]
        total += np.linalg.norm(own.sum(axis=0))
    return total / len(unit)


def test_every_vector_lies_in_the_cluster_whose_mean_is_nearest():
    rows, _ = blobs(spread=2.0)
    found = clusters_of(rows.__getitem__, len(rows), clusters=8, seed=3)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    means = np.stack([unit[found == cluster].sum(axis=0) for cluster in np.unique(found)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = np.unique(found)[(unit @ means.T).argmax(axis=1)]
    assert (nearest == found).mean() > 0.95, "25 iterations of Lloyd's bring it all but there"


def test_one_cluster_holds_all_and_reads_nothing():
    assert clusters_of(None, 4, clusters=1, seed=0).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("clusters", [0, 5])
def test_more_clusters_than_vectors_are_refused(clusters):
    with pytest.raises(ValueError, match=f"1 to 4 clusters, as many as vectors at most, got {clusters}"):
        clusters_of(None, 4, clusters=clusters, seed=0)


def test_a_vector_without_a_direction_is_refused():
    rows = np.ones((9, 4), np.float32)
    rows[3] = 0
    with pytest.raises(ValueError, match="no direction"):
        clusters_of(rows.__getitem__, 9, clusters=2, seed=0)


@pytest.mark.gpu
def test_the_gpu_finds_clusters_as_tight_as_the_processor_does():
    rows, owner = blobs(count=3_000, spread=0.5)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    found = clusters_of(rows.__getitem__, len(rows), clusters=5, seed=1)
    assert cohesion(unit, found) >= 0.95 * cohesion(unit, owner)
