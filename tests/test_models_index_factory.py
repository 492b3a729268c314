"""Indexes of factory strings: what they overlook is measured, what they find is ranked exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept_indexes import reader

from models.index import VectorIndex
from models.index import kept as kept_module
from models.index.factory import FactoryError, check_factory, factory_of_size
from models.index.kept import KeptIndex, Source
from models.index.segments import Segment
from models.vectors import VectorStore

N, D = 2_000, 32


def clustered(folder: Path, *, shards: int = 8) -> tuple[VectorStore, list[Source], np.ndarray]:
    """A store of vectors around 40 centres, and queries like them."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(40, D))
    vectors = centres[rng.integers(0, 40, N)] + 0.4 * rng.normal(size=(N, D))
    store, sources = VectorStore(folder), []
    for part in np.array_split(np.arange(N), shards):
        sources.append(Source(store.write_shard(part, vectors[part]), part, np.arange(len(part))))
    return store, sources, centres[rng.integers(0, 40, 50)] + 0.4 * rng.normal(size=(50, D))


def exact(store: VectorStore, sources: list[Source]) -> VectorIndex:
    return VectorIndex.build((one.ids, one.of(store.read_shard(one.shard).vectors)) for one in sources)


def recall(index: VectorIndex, expected: VectorIndex, queries: Any) -> float:
    found, true = (one.search(queries, 10, exclude=None)[0] for one in (index, expected))
    return float(np.mean([len(set(row) & set(wanted)) / 10 for row, wanted in zip(found, true, strict=True)]))


@pytest.mark.parametrize("factory", ["IVF32,SQ8", "IVF32,Flat", "HNSW16", "PQ8x4", "PCA16,IVF32,Flat"])
def test_what_is_measured_at_the_build_is_what_other_queries_see(tmp_path: Path, factory: str) -> None:
    store, sources, queries = clustered(tmp_path / "vectors")
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources, factory=factory)
    assert opened.index is not None and not opened.index.is_exact and opened.factory == factory
    assert opened.recall is not None and opened.recall.sample == 1_000 and opened.recall.neighbours == 10
    assert abs(recall(opened.index, exact(store, sources), queries) - opened.recall.recall) < 0.1
    if "PQ" not in factory and "PCA" not in factory:
        assert opened.recall.recall >= 0.95, "searches are widened until they find most"


def test_what_is_found_of_vectors_half_of_them_equal_is_measured_without_reading_on(tmp_path: Path) -> None:
    store, sources, _ = clustered(tmp_path / "vectors")
    everything = np.concatenate([store.read_shard(one.shard).vectors for one in sources])
    everything[: N // 2] = everything[0]
    same = [Source(store.write_shard(one.ids, everything[one.ids]), one.ids, one.rows) for one in sources]
    widths: list[int] = []

    class Counted(Segment):
        def search(self, queries: Any, k: int) -> Any:
            widths.append(k)
            return super().search(queries, k)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_module, "Segment", Counted)
        opened = KeptIndex(tmp_path / "index", reader(store)).open(same, factory="IVF32,SQ8")
    assert opened.recall is not None and opened.recall.recall > 0.9
    assert widths and max(widths) < 100, "which of the equal ones are first is asked"


def test_similarities_are_exact_and_ties_fall_on_the_lower_id_whatever_proposed(tmp_path: Path) -> None:
    store, sources, queries = clustered(tmp_path / "vectors")
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources, factory="IVF32,SQ8")
    true = exact(store, sources)
    assert opened.index is not None
    found = opened.index.search(queries, 10, exclude=None)
    everything = dict(zip(*(row.ravel().tolist() for row in true.search(queries[:1], N, exclude=None)), strict=True))
    for id_, similarity in zip(found[0][0].tolist(), found[1][0].tolist(), strict=True):
        assert everything[id_] == similarity
    among = np.arange(0, N, 3)
    for a, b in zip(
        opened.index.search(queries, 9, exclude=None, among=among), true.search(queries, 9, exclude=None, among=among),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    widest = opened.index.search(queries[:2], N, exclude=None)  # more than its lists hold: searched exactly
    np.testing.assert_array_equal(widest[0], true.search(queries[:2], N, exclude=None)[0])


def test_it_is_the_same_each_time_it_is_made_and_read_as_it_was(tmp_path: Path) -> None:
    store, sources, queries = clustered(tmp_path / "vectors")
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "one"]
    opened = [KeptIndex(folder, reader(store)).open(sources, factory="IVF32,PQ8x4") for folder in folders]
    assert [one.state for one in opened] == ["built", "built", "current"]
    assert len({one.recall for one in opened}) == 1
    answers = [one.index.search(queries, 10, exclude=None)[0] for one in opened if one.index is not None]
    assert (answers[0] == answers[1]).all() and (answers[0] == answers[2]).all()


def test_what_is_new_is_searched_exactly_beside_it_until_it_is_much(tmp_path: Path) -> None:
    store, sources, queries = clustered(tmp_path / "vectors", shards=20)
    kept = KeptIndex(tmp_path / "index", reader(store))
    kept.open(sources[:10], factory="IVF32,SQ8")
    (file,) = (tmp_path / "index").glob("*.factory.faiss")
    small = kept.open(sources[:12], factory="IVF32,SQ8")
    assert file.exists() and small.state == "grown" and small.index is not None
    own = store.read_shard(sources[11].shard).vectors[:30]
    assert (small.index.search(own, 1, exclude=None)[0][:, 0] == sources[11].ids[:30]).all()
    much = kept.open(sources, factory=None)  # whoever has no wish keeps what there is
    assert not file.exists() and much.factory == "IVF32,SQ8" and much.index is not None
    assert recall(much.index, exact(store, sources), queries) > 0.9
    flat = kept.open(sources, factory="Flat")
    assert flat.index is not None and flat.index.is_exact and not list((tmp_path / "index").glob("*.factory.faiss"))


def test_above_the_limit_of_exact_search_a_factory_is_chosen_by_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert factory_of_size(1_000_000) == "IVF4096,SQ8"
    store, sources, _ = clustered(tmp_path / "vectors", shards=4)
    monkeypatch.setattr(kept_module, "EXACT_ROWS", 1_200)
    kept = KeptIndex(tmp_path / "index", reader(store))
    assert [kept.open(sources[:count], factory="").factory for count in (2, 3, 3, 4)] == [
        "", "IVF128,SQ8", "IVF128,SQ8", "IVF128,SQ8",
    ]  # fmt: skip
    assert kept.open(sources).state == "current"
    kept.open(sources, factory="Flat")
    asked = kept.open(sources)  # by who has no wish
    assert (asked.state, asked.factory) == ("current", "") and not list((tmp_path / "index").glob("*.factory.faiss"))


def test_too_few_vectors_for_a_factory_are_searched_exactly_and_this_is_said(tmp_path: Path) -> None:
    store, sources, _ = clustered(tmp_path / "vectors")
    kept = KeptIndex(tmp_path / "index", reader(store))
    for _ in range(2):
        opened = kept.open(sources[:1], factory="IVF1024,SQ8")
        assert opened.index is not None and opened.index.is_exact
        assert "IVF1024,SQ8 cannot be made of 250 vectors: Number of training points (250)" in opened.reason


@pytest.mark.parametrize(
    "factory",
    ["ivf64", "IVF", "IVF64,Foo", "HNSW", "PQ", "LSH", "IVF9999999,Flat", "HNSW32000", "IVF64\n", "Flat,IVF8"],
)
def test_strings_that_are_no_index_are_refused_with_one_line(factory: str) -> None:
    with pytest.raises(FactoryError, match="is no index that is known here; give Flat, IVF") as refusal:
        check_factory(factory, None)
    assert "\n" not in str(refusal.value)


def test_a_string_that_does_not_fit_the_vectors_is_refused_with_one_line() -> None:
    check_factory("PQ16", 512)
    with pytest.raises(FactoryError, match=r"PQ17 makes no index of vectors of 512 components: .+") as refusal:
        check_factory("PQ17", 512)
    assert "\n" not in str(refusal.value) and "cpp" not in str(refusal.value)
