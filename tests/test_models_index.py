"""The vector index against a plain sort of all cosines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.index import VectorIndex
from models.index.segments import Device, Segment, flat_indexes
from models.vectors import VectorStore


def brute_force(ids: Any, vectors: np.ndarray, queries: Any, k: int, exclude: Any) -> tuple[np.ndarray, np.ndarray]:
    """All cosines in float64, rounded so that equal vectors tie, sorted by similarity and then by id."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found_ids, found = [], []
    for query, without in zip(queries, exclude, strict=True):
        cosines = np.round(unit @ (query / np.linalg.norm(query)), 6)
        order = [row for row in np.lexsort((ids, -cosines)) if ids[row] not in without][:k]
        padding = k - len(order)
        found_ids.append([*ids[order], *[-1] * padding])
        found.append([*cosines[order], *[-np.inf] * padding])
    return np.array(found_ids), np.array(found)


def random_case(
    seed: int, n: int = 300, d: int = 24, duplicates: int = 60
) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    vectors[rng.permutation(n)[:duplicates]] = vectors[0]
    return rng, rng.permutation(10 * n)[:n].astype(np.int64), vectors


def test_a_worked_case() -> None:
    index = VectorIndex.build([([10, 11], [[2.0, 0.0], [0.0, 3.0]]), ([12], [[-1.0, 0.0]])])
    ids, similarities = index.search([[1.0, 1.0], [-4.0, 0.0]], 2, exclude=None)
    assert ids.tolist() == [[10, 11], [12, 11]]
    np.testing.assert_allclose(similarities, [[0.5**0.5, 0.5**0.5], [1.0, 0.0]], atol=1e-6)
    assert len(index) == 3


@pytest.mark.parametrize("seed", range(5))
def test_search_equals_brute_force_with_duplicates_and_exclusions(seed: int) -> None:
    rng, ids, vectors = random_case(seed)
    queries = np.concatenate([vectors[:5], rng.normal(size=(30, 24)).astype(np.float32)])
    exclude = [set(rng.choice(ids, size=rng.integers(0, 80), replace=False).tolist()) for _ in queries]
    index = VectorIndex.build([(ids[:100], vectors[:100]), (ids[100:], vectors[100:])])
    for k in (1, 7, 70):
        found_ids, found = index.search(queries, k, exclude=exclude)
        expected_ids, expected = brute_force(ids, vectors.astype(np.float64), queries, k, exclude)
        np.testing.assert_array_equal(found_ids, expected_ids)
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("rows", [300, 64], ids=["one segment", "five segments"])
def test_queries_that_are_searched_together_are_answered_bit_by_bit_as_one_by_one(rows: int) -> None:
    rng, ids, vectors = random_case(3)
    device = Device(24)
    index = VectorIndex([Segment(flat, own, device) for flat, own in flat_indexes([(ids, vectors)], rows=rows)], device)
    queries = rng.normal(size=(1_100, 24)).astype(np.float32)
    exclude = [set(ids[: rng.integers(0, 40)].tolist()) for _ in queries]
    together = index.search(queries, 9, exclude=exclude)
    alone = [index.search(query[None], 9, exclude=[out]) for query, out in zip(queries, exclude, strict=True)]
    for found, expected in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize("rows", [300, 64], ids=["one segment", "five segments"])
@pytest.mark.parametrize("k", [1, 11, 100, 299, 400])
def test_the_last_of_the_nearest_is_as_similar_as_a_search_finds_it(k: int, rows: int) -> None:
    rng, ids, vectors = random_case(4, duplicates=120)
    device = Device(24)
    index = VectorIndex([Segment(flat, own, device) for flat, own in flat_indexes([(ids, vectors)], rows=rows)], device)
    queries = np.concatenate([vectors[:5], rng.normal(size=(1_100, 24)).astype(np.float32)])
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    searched = index.search(units, min(k, 300), exclude=None)[1]
    np.testing.assert_allclose(index.least_of_nearest(units, k), searched[:, -1], atol=1e-6)


def test_equal_vectors_tie_exactly_and_the_lowest_ids_win() -> None:
    vector = np.random.default_rng(3).normal(size=37).astype(np.float32)
    ids = np.random.default_rng(4).permutation(500)
    index = VectorIndex.build([(ids, np.tile(vector, (500, 1)))])
    found_ids, found = index.search(vector[None], 20, exclude=[{0, 5}])
    assert found_ids[0].tolist() == [n for n in range(22) if n not in (0, 5)]
    assert len(set(found[0].tolist())) == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), blocks=st.integers(1, 6))
def test_the_order_of_the_vectors_and_their_blocks_does_not_matter(seed: int, blocks: int) -> None:
    rng, ids, vectors = random_case(seed, n=60, d=5, duplicates=20)
    queries = rng.normal(size=(4, 5)).astype(np.float32)
    order = rng.permutation(60)
    cuts = np.array_split(order, blocks)
    plain = VectorIndex.build([(ids, vectors)]).search(queries, 9, exclude=None)
    shuffled = VectorIndex.build([(ids[cut], vectors[cut]) for cut in cuts]).search(queries, 9, exclude=None)
    np.testing.assert_array_equal(plain[0], shuffled[0])
    np.testing.assert_array_equal(plain[1], shuffled[1])


def test_more_queries_than_one_block_are_all_answered() -> None:
    rng, ids, vectors = random_case(0, duplicates=0)
    queries = vectors[rng.integers(0, 300, size=2500)]
    found_ids, _ = VectorIndex.build([(ids, vectors)]).search(queries, 1, exclude=None)
    expected, _ = brute_force(ids, vectors.astype(np.float64), queries, 1, [()] * 2500)
    np.testing.assert_array_equal(found_ids, expected)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_a_search_among_some_ids_equals_brute_force_over_them_alone(share: float) -> None:
    rng, ids, vectors = random_case(6)
    queries = np.concatenate([vectors[:5], rng.normal(size=(10, 24)).astype(np.float32)])
    exclude = [set(rng.choice(ids, size=20, replace=False).tolist()) for _ in queries]
    is_among = rng.random(300) < share
    among = np.sort(np.concatenate([ids[is_among], [9_999_999]]))  # and an id that the index lacks
    index = VectorIndex.build([(ids[:100], vectors[:100]), (ids[100:], vectors[100:])])
    found_ids, found = index.search(queries, 7, exclude=exclude, among=among)
    some = vectors[is_among].astype(np.float64)
    expected_ids, expected = brute_force(ids[is_among], some, queries, 7, exclude)
    np.testing.assert_array_equal(found_ids, expected_ids)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(  # and nothing of it stays for the next search
        index.search(queries, 7, exclude=exclude)[0],
        brute_force(ids, vectors.astype(np.float64), queries, 7, exclude)[0],
    )


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_segments_of_any_size_answer_as_one_does(rows: int) -> None:
    rng, ids, vectors = random_case(8)
    queries = rng.normal(size=(20, 24)).astype(np.float32)
    device = Device(24)
    flats = flat_indexes([(ids[:120], vectors[:120]), (ids[120:], vectors[120:])], rows=rows)
    index = VectorIndex([Segment(flat, flat_ids, device) for flat, flat_ids in flats], device)
    for among in (None, np.sort(ids[50:250])):
        found = index.search(queries, 40, exclude=None, among=among)
        expected = VectorIndex.build([(ids, vectors)]).search(queries, 40, exclude=None, among=among)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_ids_to_search_among_are_one_row() -> None:
    with pytest.raises(ValueError, match=r"among must be ids \(a,\), got \(1, 1\)"):
        VectorIndex.build([([1], [[1.0, 0.0]])]).search([[1.0, 0.0]], 1, exclude=None, among=[[1]])


def test_where_too_few_are_left_the_row_is_filled_up() -> None:
    index = VectorIndex.build([([1, 2], [[1.0, 0.0], [0.0, 1.0]])])
    ids, similarities = index.search([[1.0, 0.0], [1.0, 0.0]], 3, exclude=[{1}, {1, 2}])
    assert ids.tolist() == [[2, -1, -1], [-1, -1, -1]]
    assert similarities.tolist() == [[0.0, -np.inf, -np.inf], [-np.inf] * 3]


def test_an_exclusion_of_an_unknown_id_changes_nothing() -> None:
    index = VectorIndex.build([([1], [[1.0, 0.0]])])
    assert index.search([[1.0, 0.0]], 1, exclude=[{99}])[0].tolist() == [[1]]


def test_no_queries_give_no_rows() -> None:
    index = VectorIndex.build([([1], [[1.0, 0.0]])])
    ids, similarities = index.search(np.empty((0, 2)), 3, exclude=None)
    assert ids.shape == similarities.shape == (0, 3)


def test_shards_of_the_store_are_blocks_of_the_index(tmp_path: Path) -> None:
    _, ids, vectors = random_case(9, duplicates=0)
    store = VectorStore(tmp_path)
    names = [store.write_shard(ids[cut], vectors[cut]) for cut in np.array_split(np.arange(300), 4)]
    shards = [store.read_shard(name) for name in names]
    index = VectorIndex.build((shard.ids, shard.vectors) for shard in shards)
    found, similarities = index.search(vectors, 1, exclude=None)
    np.testing.assert_array_equal(found[:, 0], ids)
    np.testing.assert_allclose(similarities, 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "at least 1 vector, got none"),
        ([([], np.empty((0, 4)))], "at least 1 vector, got none"),
        ([([1, 2], [[1.0, 0.0]])], r"one id for each of its 1 vectors, got \(2,\)"),
        ([([1], [[0.0, 0.0]])], "row 0 with norm 0"),
        ([([1], [[np.nan, 0.0]])], "row 0 with norm nan"),
        ([([1], [[1.0, 0.0]]), ([1], [[0.0, 1.0]])], "id 1 occurs 2 times"),
        ([([1], [[1.0, 0.0]]), ([2], [[1.0, 0.0, 0.0]])], "3 dimensions, the ones before it 2"),
        ([([1], [1.0, 0.0])], r"must be \(n, d\)"),
    ],
)
def test_blocks_that_make_no_index_are_refused(blocks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorIndex.build(blocks)


@pytest.mark.parametrize(
    ("queries", "k", "exclude", "message"),
    [
        ([[1.0, 0.0]], 0, None, "k must be at least 1, got 0"),
        ([[1.0]], 1, None, "queries have 1 dimensions, the index 2"),
        ([[1.0, 0.0]], 1, [], "one entry for each of the 1 queries, got 0"),
        ([[0.0, 0.0]], 1, None, "row 0 with norm 0"),
    ],
)
def test_searches_without_an_answer_are_refused(queries: Any, k: int, exclude: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorIndex.build([([1], [[1.0, 0.0]])]).search(queries, k, exclude=exclude)
