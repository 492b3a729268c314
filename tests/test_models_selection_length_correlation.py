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
    # with +1 and −1 the mean is −0.24, the standard deviation 0.744: ± 2.776 · 0.744 / √5
    assert (value, low, high) == pytest.approx((-0.4, -1, 0.683), abs=1e-3)
    assert mean_correlation(np.array([0.7])) == (0.7, -1, 1)


def test_few_prompts_that_agree_by_chance_prove_nothing() -> None:
    # two pairs correlate by ±1, and so three prompts of two pairs agree in one case of four
    assert mean_correlation(np.full(3, -1.0)) == pytest.approx((-1, -1, 0.511), abs=1e-3)
    many = mean_correlation(np.full(30, -1.0))
    assert many is not None and many.low == many.value == -1 < many.high < -0.6
    # nor do many pairs of two prompts
    gaps = np.arange(40)
    assert correlation_of_pairs(gaps / 40, gaps, gaps % 2) == (1, -1, 1)
    assert correlation_of_pairs(gaps / 40, gaps, gaps) == pytest.approx((1, 0.856, 1), abs=1e-3)


def test_given_pairs_are_correlated_over_the_whole_set() -> None:
    rng = np.random.default_rng(0)
    gaps, prompts = rng.integers(0, 400, 500), np.arange(500)
    similarity = (1 - gaps / 800 + rng.normal(0, 0.2, 500)).astype(np.float32)
    value, low, high = correlation_of_pairs(similarity, gaps, prompts) or (0.0, 0.0, 0.0)
    assert value == pytest.approx(spearmanr(similarity, gaps).statistic)
    resampled = [spearmanr(similarity[at], gaps[at]).statistic for at in rng.integers(0, 500, (300, 500))]
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.02)
    holes = np.where(np.arange(500) % 2 == 0, similarity, np.nan)
    assert (correlation_of_pairs(holes, gaps, prompts) or (0.0,))[0] == pytest.approx(
        spearmanr(similarity[::2], gaps[::2]).statistic
    )
    assert correlation_of_pairs(similarity[:3], np.array([3, 1, 2]), prompts[:3]) is not None
    # four pairs in perfect order, with +1 and −1: 0.667 ± 2.571 · 0.816 / √6
    assert correlation_of_pairs(np.arange(4.0), np.arange(4), np.arange(4)) == pytest.approx((1, -0.19, 1), abs=1e-3)
    assert correlation_of_pairs(similarity, np.zeros(500, int), prompts) is None
    assert correlation_of_pairs(np.full(3, np.nan), gaps[:3], prompts[:3]) is None


@pytest.mark.parametrize("decimals", [0, 6])
def test_the_interval_is_about_that_of_resampled_prompts(decimals: int) -> None:
    rng = np.random.default_rng(5)
    prompts = np.repeat(rng.permutation(150), rng.integers(1, 9, 150))
    level = rng.standard_normal(150)[prompts]  # what pairs of one prompt have in common
    similarity = np.round(level + rng.standard_normal(len(prompts)), decimals)
    gaps = np.round(10 * (rng.standard_normal(len(prompts)) - level)).astype(int)
    members = [np.flatnonzero(prompts == prompt) for prompt in range(150)]
    drawn = [np.concatenate([members[at] for at in rng.integers(0, 150, 150)]) for _ in range(400)]
    resampled = [spearmanr(similarity[at], gaps[at]).statistic for at in drawn]
    found = correlation_of_pairs(similarity, gaps, prompts)
    assert found is not None
    assert found[1:] == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.025)


@pytest.mark.parametrize(("prompt_count", "responses"), [(40, 5), (60, 2)])
def test_an_interval_on_noise_covers_0_as_often_as_it_says(prompt_count: int, responses: int) -> None:
    rng = np.random.default_rng(2)
    ends = np.triu_indices(responses, 1)
    prompts = np.repeat(np.arange(prompt_count), len(ends[0]))
    covered = 0
    for _ in range(200):
        level, apart = rng.standard_normal((2, prompt_count, 1))  # how alike and how long responses are by prompt
        rows = rng.standard_normal((prompt_count, responses, 8))
        rows += level[..., None] * rng.standard_normal((prompt_count, 1, 8))
        rows /= np.linalg.norm(rows, axis=2, keepdims=True)
        lengths = np.exp(apart + rng.normal(5, 0.5, (prompt_count, responses))).astype(int)
        similarity = (rows[:, ends[0]] * rows[:, ends[1]]).sum(axis=2).ravel()
        gaps = np.abs(lengths[:, ends[0]] - lengths[:, ends[1]]).ravel()
        interval = correlation_of_pairs(similarity, gaps, prompts)
        assert interval is not None
        covered += interval.low <= 0 <= interval.high
    # with pairs taken for independent 136 at 40 prompts of 5 responses
    assert 183 <= covered <= 199
