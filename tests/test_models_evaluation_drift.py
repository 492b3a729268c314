"""Embedding drift between base model and policy: hand-worked figures, brute-force oracles, edges."""

from __future__ import annotations

import json
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.evaluation.drift import embedding_drift, rank_correlation, row_correlations
from models.evaluation.measurements import Drift
from models.selection import select_pairs

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def some(count: int, width: int = 16, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, width))


def offsets(*sizes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.cumsum([0, *sizes])


def cosine(left: Array, right: Array) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def test_a_policy_that_did_not_move_has_no_drift() -> None:
    base = some(12)
    drift = embedding_drift(base, base, offsets(4, 4, 4), bins=10)
    assert drift.response_count == 12
    assert drift.left_out_count == 0
    assert drift.correlation is not None
    assert drift.cosine is not None
    assert (drift.correlation.low, drift.cosine.mean) == pytest.approx((1, 1))
    assert drift.base_counts == drift.policy_counts
    assert drift.rank_correlation == pytest.approx(1)
    assert (drift.easy_prompt_count, drift.same_easy_share) == (3, 1.0)


def test_the_figures_of_three_responses_are_those_worked_by_hand() -> None:
    base = np.array([[1.0, 0], [0, 1], [1, 1]])
    policy = np.array([[1.0, 0], [0.6, 0.8], [0, 1]])
    drift = embedding_drift(base, policy, offsets(3), bins=2)
    # a response's two cosines: 1, 0.8, 1/√2; the pairs (0,1) (0,2) (1,2): 0, 1/√2, 1/√2 and 0.6, 0, 0.8
    assert drift.cosine is not None
    assert drift.cosine.mean == pytest.approx((1 + 0.8 + 0.5**0.5) / 3)
    assert drift.cosine.median == pytest.approx(0.8)
    assert drift.base_similarity == pytest.approx(2 * 0.5**0.5 / 3)
    assert drift.policy_similarity == pytest.approx(1.4 / 3)
    assert drift.similarity_edges == pytest.approx((0, 0.4, 0.8))
    assert drift.base_counts == (1, 2)
    assert drift.policy_counts == (1, 2)
    # ranks 1, 2.5, 2.5 and 2, 1, 3: centred −1, .5, .5 and 0, −1, 1, so their product is 0
    assert drift.rank_correlation == pytest.approx(0, abs=1e-12)
    assert drift.same_easy_share == 0.0  # (0, 1) under the base model, (0, 2) under the policy


def test_the_pairs_are_those_of_one_prompt_as_a_loop_finds_them() -> None:
    base, policy, bounds = some(9), some(9, seed=1), offsets(2, 1, 0, 6)
    drift = embedding_drift(base, policy, bounds, bins=5)
    pairs = [pair for low, high in pairwise(bounds) for pair in combinations(range(low, high), 2)]
    assert drift.pair_count == len(pairs) == 16
    assert drift.base_similarity == pytest.approx(np.mean([cosine(base[i], base[j]) for i, j in pairs]), abs=1e-6)
    assert drift.policy_similarity == pytest.approx(np.mean([cosine(policy[i], policy[j]) for i, j in pairs]), abs=1e-6)
    assert sum(drift.base_counts) == sum(drift.policy_counts) == 16


def test_the_easy_pairs_are_those_that_selection_takes() -> None:
    base, policy, bounds = some(60), some(60) + 0.5 * some(60, seed=2), offsets(*[4] * 15)
    before, after = (select_pairs(each, bounds, strategy="easy", seed=0) for each in (base, policy))
    expected = np.mean((before.first == after.first) & (before.second == after.second))
    drift = embedding_drift(base, policy, bounds, bins=5)
    assert drift.same_easy_share == pytest.approx(expected)
    assert 0 < expected < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_response_without_an_embedding_under_either_model_is_left_out_under_both(bad: float) -> None:
    base, policy = some(6), some(6, seed=1)
    base[1], policy[4] = bad, bad
    drift = embedding_drift(base, policy, offsets(3, 3), bins=4)
    kept = [0, 2, 3, 5]
    assert (drift.response_count, drift.left_out_count) == (4, 2)
    expected = embedding_drift(base[kept], policy[kept], offsets(2, 2), bins=4)
    assert drift.as_dict() == expected.as_dict() | {"left_out_count": 2}


def test_one_response_a_prompt_has_no_pair_but_a_cosine() -> None:
    drift = embedding_drift(some(3), some(3, seed=1), offsets(1, 1, 1), bins=4)
    assert drift.cosine is not None
    assert (drift.pair_count, drift.similarity_edges, drift.base_counts) == (0, (), ())
    assert drift.base_similarity is drift.rank_correlation is drift.same_easy_share is None


def test_two_responses_to_one_prompt_have_no_rank_correlation() -> None:
    drift = embedding_drift(some(2), some(2, seed=1), offsets(2), bins=4)
    assert (drift.pair_count, drift.rank_correlation, drift.same_easy_share) == (1, None, 1.0)
    assert sum(drift.base_counts) == 1


@pytest.mark.parametrize("count", [0, 3])
def test_without_any_embedding_there_is_nothing_to_measure(count: int) -> None:
    nothing = np.full((count, 4), np.nan)
    drift = embedding_drift(nothing, nothing, offsets(count), bins=4)
    assert (drift.response_count, drift.left_out_count) == (0, count)
    assert drift.correlation is drift.cosine is None


def test_a_constant_embedding_has_no_correlation() -> None:
    assert np.isnan(row_correlations(np.full((1, 3), 0.1), np.array([[1.0, 2, 3]]))).all()
    drift = embedding_drift(np.full((2, 3), 0.1), some(2, 3), offsets(2), bins=2)
    assert drift.correlation is None
    assert drift.cosine is not None


def test_correlation_does_not_see_a_shift_but_the_cosine_does() -> None:
    base = some(5)
    drift = embedding_drift(base, base + 3, offsets(5), bins=3)
    assert drift.correlation is not None
    assert drift.cosine is not None
    assert drift.correlation.low == pytest.approx(1)
    assert drift.cosine.high < 0.9


@given(arrays(np.float64, (2, 12), elements=st.integers(-3, 3).map(float)))
def test_rank_correlation_agrees_with_ranks_counted_one_by_one(values: Array) -> None:
    ranks = [[np.sum(row < value) + (np.sum(row == value) + 1) / 2 for value in row] for row in values]
    found = rank_correlation(*values)
    if any(np.ptp(row) == 0 for row in values):
        assert found is None
    else:
        assert found == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-12)
        assert found == rank_correlation(values[0], values[1] ** 3)


@given(arrays(np.float64, (2, 3, 7), elements=st.floats(-100, 100)))
def test_row_correlations_agree_with_numpy(values: Array) -> None:
    for left, right, found in zip(*values, row_correlations(*values), strict=True):
        if min(left.std(), right.std()) > 1e-3:
            assert found == pytest.approx(np.corrcoef(left, right)[0, 1], abs=1e-9)


def test_the_record_survives_json() -> None:
    for drift in (
        embedding_drift(some(6), some(6, seed=1), offsets(3, 3), bins=4),
        embedding_drift(some(0), some(0), offsets(0), bins=4),
    ):
        assert Drift.from_dict(json.loads(json.dumps(drift.as_dict()))) == drift


def test_halves_as_they_are_stored_are_taken() -> None:
    halves = some(4).astype(np.float16)
    assert embedding_drift(halves, halves, offsets(4), bins=4).rank_correlation == pytest.approx(1)


def test_embeddings_of_other_responses_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 16\) by the base model and \(4, 16\)"):
        embedding_drift(some(3), some(4), offsets(3), bins=4)
    with pytest.raises(ValueError, match="offsets"):
        embedding_drift(some(3), some(3), offsets(4), bins=4)
