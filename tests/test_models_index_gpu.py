"""The index on a GPU: what it proposes leads to the same answers as the processor's. Needs faiss-gpu, numpy and pytest.

Without the rest of the project: python -m pytest --noconftest -m gpu tests/test_models_index_gpu.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.index import VectorIndex
from models.index.factory import Factory, train
from models.index.kept import KeptIndex, Source
from models.index.making import fill
from models.index.segments import Device, Segment, flat_indexes
from models.vectors import VectorStore

pytestmark = pytest.mark.gpu
N, D, K = 20_000, 64, 10


@pytest.fixture(scope="module", autouse=True)
def faiss_on_a_gpu() -> Any:
    faiss = pytest.importorskip("faiss")
    if not hasattr(faiss, "GpuIndexFlatIP") or faiss.get_num_gpus() == 0:
        pytest.skip("this faiss sees no GPU")
    return faiss


def clustered(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, float16 vectors around 200 centres, with 500 equal ones among them, and queries."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(200, D))
    vectors = (centres[rng.integers(0, 200, N)] + 0.5 * rng.normal(size=(N, D))).astype(np.float16)
    vectors[rng.permutation(N)[:500]] = vectors[0]
    queries = (centres[rng.integers(0, 200, 300)] + 0.5 * rng.normal(size=(300, D))).astype(np.float32)
    return rng.permutation(10 * N)[:N].astype(np.int64), vectors, np.concatenate([vectors[:2], queries])


def brute_force(ids: np.ndarray, vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """The similarities (m, k) of the true nearest, in float64."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    wanted = queries.astype(np.float64)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    return -np.sort(-(wanted @ exact.T), axis=1)[:, :k]


def on_the_processor(ids: np.ndarray, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> VectorIndex:
    import faiss

    with monkeypatch.context() as without:
        without.setattr(faiss, "get_num_gpus", lambda: 0)
        index = VectorIndex.build([(ids, vectors)])
    assert not index.has_gpu
    return index


@pytest.mark.parametrize("k", [1, K, 600])
def test_exact_search_has_the_processors_ids_and_similarities(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors, queries = clustered()
    index = VectorIndex.build([(ids[:7_000], vectors[:7_000]), (ids[7_000:], vectors[7_000:])])
    assert index.has_gpu
    exclude = [set(ids[at : at + 30].tolist()) for at in range(len(queries))]
    found = index.search(queries, k, exclude=exclude)
    expected = on_the_processor(ids, vectors, monkeypatch).search(queries, k, exclude=exclude)
    is_other = found[0] != expected[0]  # none but near ties, which float16 may leave out at the last place
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    assert is_other.mean() < 0.001
    np.testing.assert_allclose(
        index.search(queries, k, exclude=None)[1], brute_force(ids, vectors, queries, k), atol=1e-5
    )


def test_a_search_among_some_ids_has_the_processors_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors, queries = clustered(1)
    among = np.sort(ids[::7])
    found = VectorIndex.build([(ids, vectors)]).search(queries, K, exclude=None, among=among)
    expected = on_the_processor(ids, vectors, monkeypatch).search(queries, K, exclude=None, among=among)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_more_neighbours_than_a_gpu_gives_come_from_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors, queries = clustered(2)
    found = VectorIndex.build([(ids, vectors)]).search(queries[:5], 3_000, exclude=None)
    expected = on_the_processor(ids, vectors, monkeypatch).search(queries[:5], 3_000, exclude=None)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("factory", ["IVF64,SQ8", "IVF64,Flat", "IVF64,PQ16", "PQ16", "HNSW32"])
def test_a_factory_finds_most_of_the_true_neighbours(factory: str) -> None:
    ids, vectors, queries = clustered(3)
    device = Device(D)
    segments = [Segment(flat, flat_ids, device) for flat, flat_ids in flat_indexes([(ids, vectors)])]
    vectors_of_segments = [segment.vectors for segment in segments]
    filled = train(factory, vectors_of_segments)
    fill(filled, vectors_of_segments)
    proposer = Factory(filled)
    # FAISS has these on no GPU, and the processor takes its place
    assert proposer.has_gpu == (factory not in ("HNSW32", "PQ16"))
    index = VectorIndex(segments, device, proposer)
    true = brute_force(ids, vectors, queries, K)

    def recall() -> float:
        found = index.search(queries, K, exclude=None)[1]
        return float((found >= true[:, -1:] - 1e-5).mean())

    assert proposer.tune(recall) > (0.5 if "PQ" in factory else 0.9)


def test_an_index_on_disk_is_read_to_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors, queries = clustered(4)
    store = VectorStore(tmp_path / "vectors")
    sources = [
        Source(store.write_shard(ids[cut], vectors[cut]), ids[cut], np.arange(len(cut)))
        for cut in np.array_split(np.arange(N), 5)
    ]
    for count, state in ((4, "built"), (5, "grown"), (5, "current")):
        kept = KeptIndex(tmp_path / "index", lambda shard: store.read_shard(shard).vectors)
        opened = kept.open(sources[:count])
        assert opened.state == state and opened.index is not None and opened.index.has_gpu
    found = opened.index.search(queries, K, exclude=None)
    stored = np.concatenate([store.read_shard(source.shard).vectors for source in sources])
    expected = on_the_processor(ids, stored, monkeypatch).search(queries, K, exclude=None)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
