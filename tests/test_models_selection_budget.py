from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.selection import Strategy, pair_similarities, rank_pairs

Array = np.ndarray[Any, Any]
SIMILARITIES = st.lists(st.sampled_from([-0.5, 0.0, 0.25, 0.9, np.nan]), min_size=1, max_size=30)


def test_shares_of_a_worked_case() -> None:
    similarity = np.array([0.9, 0.1, 0.5, np.nan, 0.1, 0.7])
    assert rank_pairs(similarity, strategy="easy", share=0.5, seed=0).tolist() == [1, 2, 4]
    assert rank_pairs(similarity, strategy="hard", share=0.5, seed=0).tolist() == [0, 2, 5]
    assert rank_pairs(similarity, strategy="easy", share=0.01, seed=0).tolist() == [1]
    assert rank_pairs(similarity, strategy="hard", share=1.0, seed=0).tolist() == [0, 1, 2, 4, 5]


def test_the_longest_gaps_of_a_worked_case() -> None:
    similarity = np.array([0.9, 0.1, 0.5, np.nan, 0.1, 0.7])
    lengths = np.array([[7, 0], [1, 4], [9, 2], [99, 0], [0, 8], [5, 5]])
    assert rank_pairs(similarity, strategy="longest_gap", share=0.3, seed=0, lengths=lengths).tolist() == [0, 4]
    assert rank_pairs(similarity, strategy="longest_gap", share=0.5, seed=0, lengths=lengths).tolist() == [0, 2, 4]
    for missing in (None, lengths[:5]):
        with pytest.raises(ValueError, match="two for each of the 6 pairs"):
            rank_pairs(similarity, strategy="longest_gap", share=0.5, seed=0, lengths=missing)


def test_the_share_is_rounded_half_up() -> None:
    similarity = np.linspace(0, 1, 5)
    counts = [len(rank_pairs(similarity, strategy="easy", share=share, seed=0)) for share in (0.29, 0.3, 0.5, 0.7)]
    assert counts == [1, 2, 3, 4]


@given(
    SIMILARITIES, st.floats(0.01, 1), st.sampled_from(["easy", "hard", "random", "longest_gap"]), st.integers(0, 2**63)
)
def test_a_share_agrees_with_sorting_by_value_and_index(
    values: list[float], share: float, strategy: Strategy, seed: int
) -> None:
    lengths = np.random.default_rng(seed).integers(0, 4, (len(values), 2))
    indices = rank_pairs(np.array(values), strategy=strategy, share=share, seed=seed, lengths=lengths)
    ranked = [index for index, value in enumerate(values) if not np.isnan(value)]
    gaps = abs(lengths[:, 0] - lengths[:, 1])
    keys = {"easy": values, "hard": [-value for value in values], "longest_gap": (-gaps).tolist()}
    if strategy in keys:
        ranked.sort(key=lambda index: (keys[strategy][index], index))
    count = max(1, int(np.floor(share * len(values) + 0.5)))
    assert indices.dtype == np.int64
    assert len(indices) == min(count, len(ranked))
    assert (np.diff(indices) > 0).all()
    if strategy != "random":
        assert indices.tolist() == sorted(ranked[:count])
    else:
        assert set(indices.tolist()) <= set(ranked)


def test_a_random_share_is_uniform_and_repeatable() -> None:
    similarity = np.zeros(40)
    drawn = [rank_pairs(similarity, strategy="random", share=0.25, seed=seed) for seed in range(2000)]
    counts = np.bincount(np.concatenate(drawn), minlength=40)
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)
    assert np.array_equal(drawn[3], rank_pairs(similarity, strategy="random", share=0.25, seed=3))


@pytest.mark.parametrize("strategy", ["easy", "hard", "random"])
def test_no_similarity_gives_no_pair(strategy: Strategy) -> None:
    assert rank_pairs(np.full(3, np.nan), strategy=strategy, share=0.5, seed=0).tolist() == []
    assert rank_pairs(np.zeros(0), strategy=strategy, share=0.5, seed=0).tolist() == []


@pytest.mark.parametrize(
    ("similarity", "strategy", "share", "message"),
    [
        (np.zeros(3), "centroid", 0.5, "responses of one prompt"),
        (np.zeros(3), "best", 0.5, "there is no strategy 'best'"),
        (np.zeros(3), "easy", 0.0, "got 0.0"),
        (np.zeros(3), "easy", 1.5, "got 1.5"),
        (np.zeros((3, 1)), "easy", 0.5, r"shape \(3, 1\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    similarity: Array, strategy: Strategy, share: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rank_pairs(similarity, strategy=strategy, share=share, seed=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pair_similarities_are_cosines_and_nan_where_there_is_none(dtype: type[np.floating]) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 9000)).astype(dtype)
    rows[4], rows[5, 0] = 0, np.nan
    first, second = np.array([0, 1, 2, 2, 3, -1, 0] * 300), np.array([1, 0, 2, 4, 5, -1, 3] * 300)
    similarity = pair_similarities(rows, first, second)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True).clip(1e-9)
    expected = np.where(np.isin(np.arange(len(first)) % 7, [3, 4, 5]), np.nan, (unit[first] * unit[second]).sum(axis=1))
    assert similarity.dtype == np.float32
    np.testing.assert_allclose(similarity, expected, atol=2e-6)
    assert np.nanmax(similarity) <= 1


def test_pair_similarities_refuse_rows_outside_the_embeddings() -> None:
    with pytest.raises(ValueError, match="below the 2 embeddings, got 0 to 2"):
        pair_similarities(np.ones((2, 3)), np.array([0]), np.array([2]))
    with pytest.raises(ValueError, match="two"):
        pair_similarities(np.ones((2, 3)), np.array([0]), np.array([0, 1]))
