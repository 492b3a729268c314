from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from models.selection import correlation_of_pairs, length_correlations, mean_correlation

Array = np.ndarray[Any, Any]


def at_angles(*degrees: float) -> Array:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def of_one(embeddings: Array, lengths: list[int]) -> float:
    return float(length_correlations(embeddings, np.array([0, len(embeddings)]), np.array(lengths))[0])


def test_a_prompt_worked_by_hand() -> None:
    # 0, 10 and 60 degrees: pairs 0-1, 0-2, 1-2 lie 10, 60 and 50 degrees apart
    rows = at_angles(0, 10, 60)
    assert of_one(rows, [10, 11, 30]) == pytest.approx(-1)  # gaps 1, 20, 19: the farther, the more unlike in length
    assert of_one(rows, [10, 40, 15]) == pytest.approx(1)  # gaps 30, 5, 25
    assert of_one(rows, [10, 11, 12]) == pytest.approx(-np.sqrt(3) / 2)  # gaps 1, 2, 1: ranks 1.5, 3, 1.5
    assert np.isnan(of_one(rows, [5, 5, 5]))
    assert np.isnan(of_one(rows[:2], [1, 9]))
    # the second and third point the same way and are no pair, though nothing differs more in length
    assert of_one(at_angles(0, 10, 10, 60), [10, 11, 999, 30]) == pytest.approx(
        of_pairs([10, 10, 60, 50, 50], [1, 989, 20, 19, 969])
    )


def of_pairs(degrees: list[float], gaps: list[int]) -> float:
    return float(spearmanr(np.cos(np.deg2rad(degrees)), gaps).statistic)


def twin(rows: Array, lengths: Array) -> float:
    """Pair by pair, the obvious way."""
    usable = [i for i in range(len(rows)) if np.isfinite(rows[i]).all() and rows[i].any()]
    unit = {i: rows[i] / np.linalg.norm(rows[i]) for i in usable}
    pairs = list(combinations(usable, 2))
    if len(pairs) < 2:
        return np.nan
    cosines = [float(unit[i] @ unit[j]) for i, j in pairs]
    gaps = [abs(int(lengths[i]) - int(lengths[j])) for i, j in pairs]
    return np.nan if len(set(gaps)) == 1 else float(spearmanr(cosines, gaps).statistic)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_it_agrees_with_the_obvious_way_and_no_order_changes_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 9, 12)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    rows, lengths = rng.standard_normal((offsets[-1], 7)), rng.integers(0, 30, offsets[-1])

    for start, end in pairwise(offsets):
        if end - start > 3 and rng.random() < 0.5:
            rows[start + 2] = rng.choice([0, np.nan])  # in no pair, whatever its length
    found = length_correlations(rows, offsets, lengths)
    expected = [twin(rows[start:end], lengths[start:end]) for start, end in pairwise(offsets)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    order = np.concatenate([rng.permutation(np.arange(start, end)) for start, end in pairwise(offsets)]).astype(int)
    np.testing.assert_allclose(length_correlations(rows[order], offsets, lengths[order]), found, atol=1e-6)
    np.testing.assert_allclose(length_correlations(rows, offsets, lengths * 5 + 3), found, atol=1e-9)


def test_the_mean_counts_prompts_that_have_a_correlation() -> None:
    assert mean_correlation(np.array([np.nan, np.nan])) is None
    assert mean_correlation(np.empty(0)) is None
    value, low, high = mean_correlation(np.array([-0.5, np.nan, -0.3, -0.4])) or (0.0, 0.0, 0.0)
    assert (value, low, high) == pytest.approx((-0.4, -0.648, -0.152), abs=1e-3)  # ± 4.303 · 0.1 / √3
    assert mean_correlation(np.array([0.7])) == (0.7, -1, 1)


def test_given_pairs_are_correlated_over_the_whole_set() -> None:
    rng = np.random.default_rng(0)
    gaps = rng.integers(0, 400, 500)
    similarity = (1 - gaps / 800 + rng.normal(0, 0.2, 500)).astype(np.float32)
    value, low, high = correlation_of_pairs(similarity, gaps) or (0.0, 0.0, 0.0)
    assert value == pytest.approx(spearmanr(similarity, gaps).statistic)
    resampled = [spearmanr(similarity[at], gaps[at]).statistic for at in rng.integers(0, 500, (300, 500))]
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.02)
    holes = np.where(np.arange(500) % 2 == 0, similarity, np.nan)
    assert (correlation_of_pairs(holes, gaps) or (0.0,))[0] == pytest.approx(
        spearmanr(similarity[::2], gaps[::2]).statistic
    )
    assert correlation_of_pairs(similarity[:3], np.array([3, 1, 2])) is not None
    # four pairs in perfect order: ρ = 0.8 after a swap, z = 1.099, ± 1.96 √(1 + 1 / 2)
    assert correlation_of_pairs(np.arange(4.0), np.arange(4)) == pytest.approx((1, -0.862, 1), abs=1e-3)
    assert correlation_of_pairs(similarity, np.zeros(500, int)) is None
    assert correlation_of_pairs(np.full(3, np.nan), gaps[:3]) is None
