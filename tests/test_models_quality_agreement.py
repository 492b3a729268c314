"""Alpha, kappa and the Wilson interval against published examples and independent packages."""

from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score

from models.quality.agreement import cohen_kappa, equal_couples, nominal_alpha, wilson_interval

Array = np.ndarray[Any, Any]
RATINGS = st.tuples(st.integers(1, 5), st.integers(0, 12)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-1, 4))
)

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections A, B and C.
BINARY = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]])
NOMINAL = np.array([[0, 0, 1, 1, 3, 2, 2, 2, 4, 3, 3, 0], [1, 0, 1, 1, 1, 2, 2, 2, 4, 3, 3, 3]])
MISSING = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, -1, -1, -1],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, -1, 3],
        [-1, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, -1],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, -1],
    ]
)


def counts_of(ratings: Array) -> Array:
    """(units, values): how often each unit was given each value, from (annotators, units) with -1 for none."""
    values = range(ratings.max(initial=0) + 1)
    return np.stack([(ratings == value).sum(axis=0) for value in values], axis=1)


@pytest.mark.parametrize(("ratings", "alpha"), [(BINARY, 0.095), (NOMINAL, 0.692), (MISSING, 0.743)])
def test_alpha_of_the_published_examples(ratings: Array, alpha: float) -> None:
    assert nominal_alpha(counts_of(ratings)) == pytest.approx(alpha, abs=5e-4)


@given(ratings=RATINGS)
def test_alpha_agrees_with_the_krippendorff_package(ratings: Array) -> None:
    alpha = nominal_alpha(counts_of(ratings))
    pairable = ratings[:, (ratings >= 0).sum(axis=0) > 1]
    if len(set(pairable[pairable >= 0].tolist())) < 2:
        assert alpha is None
        return
    data = np.where(pairable < 0, np.nan, pairable)
    assert alpha == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal"), abs=1e-9)


@given(ratings=RATINGS, seed=st.integers(0, 100))
def test_alpha_depends_on_no_order(ratings: Array, seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = counts_of(ratings)
    shuffled = random.permutation(random.permutation(counts, axis=0), axis=1)
    alpha = nominal_alpha(counts)
    assert nominal_alpha(shuffled) == (alpha if alpha is None else pytest.approx(alpha))


@pytest.mark.parametrize(
    "ratings",
    [
        np.zeros((0, 0), dtype=int),
        np.zeros((3, 0), dtype=int),
        np.array([[0, 1, 2]]),
        np.array([[0, -1], [-1, 1]]),
        np.full((2, 4), -1),
        np.full((2, 4), 3),
        np.array([[2, 2, 0], [2, 2, -1]]),
    ],
)
def test_alpha_is_undefined_without_two_values_in_pairable_units(ratings: Array) -> None:
    assert nominal_alpha(counts_of(ratings)) is None


def test_perfect_agreement_is_one_and_steady_contradiction_is_negative() -> None:
    assert nominal_alpha(counts_of(np.array([[0, 1, 2], [0, 1, 2]]))) == 1
    alpha = nominal_alpha(counts_of(np.array([[0, 1], [1, 0]])))
    assert alpha == pytest.approx(-0.5)  # 1 − 4 · 3 / (2 · 2 · 2) by hand


def test_many_units_need_no_square_of_memory() -> None:
    # 200,000 ratings: a matrix over couples of ratings would hold 4 · 10¹⁰ numbers.
    ratings = np.random.default_rng(0).integers(4, size=(2, 100_000))
    assert nominal_alpha(counts_of(ratings)) == pytest.approx(0, abs=0.02)


@given(RATINGS)
def test_equal_couples_are_those_counted_one_by_one(ratings: Array) -> None:
    couples = [
        one == other
        for unit in ratings.T.tolist()
        for one, other in combinations([value for value in unit if value >= 0], 2)
    ]
    assert equal_couples(counts_of(ratings)) == (sum(couples), len(couples))


def test_kappa_of_the_usual_table() -> None:
    # Both yes 20, only the first 5, only the second 10, both no 15: observed 0.7, by chance 0.5.
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)


def test_kappa_of_cohens_own_table() -> None:
    # Cohen 1960, table 1 (joint proportions of three categories, n = 200): 0.70 observed, 0.41 by chance.
    cells = [88, 14, 18, 10, 40, 10, 2, 6, 12]
    first = np.repeat(np.repeat(np.arange(3), 3), cells)
    second = np.repeat(np.tile(np.arange(3), 3), cells)
    assert cohen_kappa(first, second) == pytest.approx((0.70 - 0.41) / (1 - 0.41))


@given(st.integers(0, 20).flatmap(lambda n: arrays(np.int64, (2, n), elements=st.integers(-1, 3))))
def test_kappa_agrees_with_scikit_learn(ratings: Array) -> None:
    first, second = ratings
    kappa = cohen_kappa(first, second)
    both = ratings[:, (ratings >= 0).all(axis=0)]
    if len(np.unique(both)) < 2:
        assert kappa is None
        return
    assert kappa == pytest.approx(cohen_kappa_score(both[0], both[1]))
    assert cohen_kappa(second, first) == kappa


def test_kappa_of_arrays_of_two_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        cohen_kappa(np.zeros(2, dtype=int), np.zeros(3, dtype=int))


def test_wilson_intervals_of_worked_cases() -> None:
    # z² = 3.8415; 0 of 10: z² / (n + z²) = 0.2775. 5 of 10: 0.5 ± (z / 2) √(1 / (n + z²)) = 0.5 ± 0.2634.
    assert wilson_interval(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson_interval(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_of_a_wilson_interval_are_1_96_standard_errors_away(observed: tuple[int, int]) -> None:
    successes, count = observed
    low, high = wilson_interval(successes, count)
    share = successes / count
    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert (share - end) ** 2 == pytest.approx(1.959963984540054**2 * end * (1 - end) / count, rel=1e-6)
    assert wilson_interval(count - successes, count) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("successes", "count"), [(-1, 3), (4, 3), (0, -1)])
def test_more_successes_than_were_counted_are_refused(successes: int, count: int) -> None:
    with pytest.raises(ValueError, match="successes must be"):
        wilson_interval(successes, count)
