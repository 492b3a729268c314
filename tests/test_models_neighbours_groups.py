"""Groups of nearly the same prompts, against all pairs looked at one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.neighbours import groups as groups_module
from models.neighbours.groups import LEAST_FOR_A_MEAN, Centre, PromptIndex, prompt_groups


def groups(ids, vectors, similarity, block=7):
    def blocks():
        for start in range(0, len(ids), block):
            yield ids[start : start + block], vectors[start : start + block]

    return prompt_groups(PromptIndex(blocks), similarity=similarity)


def slow_groups(ids, vectors, similarity):
    """All pairs; then labels are lowered until none changes."""
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if len(unit) >= LEAST_FOR_A_MEAN:
        unit = unit - unit.mean(axis=0)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    lowest = dict(zip(ids, ids, strict=True))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(ids):
            for j, other in enumerate(ids):
                if unit[i] @ unit[j] >= similarity and lowest[other] > lowest[one]:
                    lowest[other], changed = lowest[one], True
    return {int(id_): int(low) for id_, low in lowest.items() if list(lowest.values()).count(low) > 1}


def clustered(seed, count, spread=0.15):
    """Prompts about a few centres, all of them moved in one direction, as those of a causal model are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(2, count // 3), 16))
    vectors = centres[random.integers(len(centres), size=count)] + spread * random.normal(size=(count, 16))
    ids = np.sort(random.choice(10 * count, size=count, replace=False))
    return ids, (vectors + 3).astype(np.float16)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 20, 60])
def test_groups_are_those_of_all_pairs(seed, count):
    ids, vectors = clustered(seed, count)
    found = groups(ids, vectors, 0.95)
    assert found == slow_groups(ids, vectors, 0.95)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_blocks_changes_nothing(seed):
    ids, vectors = clustered(seed, 40)
    order = np.random.default_rng(seed).permutation(40)
    assert groups(ids, vectors, 0.9) == groups(ids[order], vectors[order], 0.9, block=11)


def test_a_group_larger_than_the_first_search_is_found_whole():
    random = np.random.default_rng(0)
    vectors = np.concatenate([np.tile(random.normal(size=(1, 8)), (50, 1)), random.normal(size=(30, 8))])
    found = groups(np.arange(80), vectors, 0.999)
    assert found == dict.fromkeys(range(50), 0)


@pytest.mark.parametrize("rank", [5, 200], ids=["few dimensions say most", "all dimensions say as much"])
def test_bounds_in_few_dimensions_lose_no_pair(monkeypatch, rank):
    monkeypatch.setattr(groups_module, "_ROWS", 37)
    monkeypatch.setattr(groups_module, "_QUERIES", 11)
    monkeypatch.setattr(groups_module, "_PAIRS", 5)
    random = np.random.default_rng(rank)
    vectors = random.normal(size=(120, rank)) @ random.normal(size=(rank, 200)) + 0.3 * random.normal(size=(120, 200))
    vectors[:20] += 20 * vectors[20:40]  # near these, by pairs
    ids = np.arange(1_000, 1_120)
    for similarity in (0.3, 0.9, 0.99):
        assert groups(ids, vectors, similarity) == slow_groups(ids, vectors, similarity) != {}


def test_equal_prompts_are_one_group_at_a_similarity_of_1():
    random = np.random.default_rng(3)
    vectors = np.repeat(random.normal(size=(40, 100)), 2, axis=0)
    assert groups(np.arange(80), vectors, 1.0) == {at: at - at % 2 for at in range(80)}


def test_a_chain_of_neighbours_is_one_group_under_its_lowest_id():
    angles = np.deg2rad([0, 15, 30, 120])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert groups(np.array([9, 4, 7, 1]), vectors, np.cos(np.deg2rad(16))) == {4: 4, 7: 4, 9: 4}


def test_what_all_prompts_share_makes_no_group():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(200, 32)) + 10 * np.ones(32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.sort(unit @ unit.T, axis=None)[0] > 0.95, "by raw cosines they would be one group"
    assert groups(np.arange(200), vectors, 0.95) == {}


def test_few_prompts_keep_their_mean():
    alike = np.array([[1.0, 0.0], [1.0, 0.1]])
    assert groups(np.array([1, 2]), alike, 0.95) == {1: 1, 2: 1}
    units, has_direction = Centre.of(lambda: [(np.array([1, 2]), alike)]).apply(alike)
    assert np.allclose(np.linalg.norm(units, axis=1), 1) and has_direction.all()


def test_prompts_at_the_mean_and_no_prompts_are_in_no_group():
    assert groups(np.empty(0, np.int64), np.empty((0, 4)), 0.95) == {}
    assert groups(np.arange(40), np.ones((40, 4)), 0.95) == {}, "nothing but the mean is left of them"
