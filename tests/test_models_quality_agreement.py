"""Alpha, kappa and intervals: worked by hand, against loops, independent packages, and simulations of known truth."""

from itertools import combinations, permutations
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score

from models.labelling.votes import EXCHANGED
from models.quality.agreement import (
    NOMINAL,
    ORDINAL,
    alpha,
    equal_couples,
    kappa,
    share_over_pairs,
)
from models.quality.records import UNDEFINED, Coefficient

Array = np.ndarray[Any, Any]
EXCHANGE = np.array([*EXCHANGED, -1])  # of a code, -1 for none included
RATINGS = st.tuples(st.integers(1, 5), st.integers(0, 12)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-1, 3))
)
LEVELS = pytest.mark.parametrize("distances", [NOMINAL, ORDINAL], ids=["nominal", "ordinal"])


def counts_of(ratings: Array) -> Array:
    """(pairs, 4): how often each pair was given each verdict, from (annotators, pairs) with -1 for none."""
    return np.stack([(ratings == value).sum(axis=0) for value in range(4)], axis=1)


@LEVELS
def test_ratings_that_are_always_first_and_agree_on_three_quarters_have_the_coefficients_of_random_sides(
    distances: Array,
) -> None:
    # The chosen response of a data set is stored first, and a second annotator agrees on 74 of 100: 2 · 0.74 − 1.
    first, second = np.zeros(100, dtype=int), np.repeat([0, 1], [74, 26])
    assert alpha(counts_of(np.stack([first, second])), distances).value == pytest.approx(0.48)
    assert kappa(first, second, distances).value == pytest.approx(0.48)
    is_exchanged = np.random.default_rng(0).random(100) < 0.5
    sides = [np.where(is_exchanged, EXCHANGE[codes], codes) for codes in (first, second)]
    assert kappa(*sides, distances) == kappa(first, second, distances)


@LEVELS
def test_coefficients_of_generators_of_unequal_strength_depend_on_agreement_alone(distances: Array) -> None:
    for strength in (0.5, 0.7, 0.9):  # share of the pairs whose first response is the better one
        truth = np.repeat([0, 1], [round(400 * strength), 400 - round(400 * strength)])
        second = np.where(np.arange(400) % 4 == 0, 1 - truth, truth)
        assert kappa(truth, second, distances).value == pytest.approx(0.5)
        assert alpha(counts_of(np.stack([truth, second])), distances).value == pytest.approx(0.5)


@LEVELS
@given(ratings=RATINGS, data=st.data())
def test_exchanging_the_responses_of_any_pairs_changes_nothing(
    distances: Array, ratings: Array, data: st.DataObject
) -> None:
    is_exchanged = data.draw(arrays(np.bool_, ratings.shape[1]))
    exchanged = np.where(is_exchanged, EXCHANGE[ratings], ratings)
    assert_close(alpha(counts_of(exchanged), distances), alpha(counts_of(ratings), distances))
    for one, other in combinations(range(len(ratings)), 2):
        assert_close(kappa(exchanged[one], exchanged[other], distances), kappa(ratings[one], ratings[other], distances))
        assert_close(kappa(ratings[other], ratings[one], distances), kappa(ratings[one], ratings[other], distances))


@LEVELS
@given(ratings=RATINGS)
def test_alpha_agrees_with_loops_over_all_couples_of_ratings(distances: Array, ratings: Array) -> None:
    pairs = [[value for value in pair if value >= 0] for pair in ratings.T.tolist()]
    pairs = [pair for pair in pairs if len(pair) > 1]
    everyone = [value for pair in pairs for value in pair]
    by_chance = [
        (distances[one, other] + distances[one, EXCHANGE[other]]) / 2 for one, other in permutations(everyone, 2)
    ]
    found = alpha(counts_of(ratings), distances)
    if not sum(by_chance):
        assert found == UNDEFINED
        return
    observed = sum(
        distances[one, other] / (len(pair) - 1) for pair in pairs for one, other in permutations(pair, 2)
    ) / len(everyone)
    assert found.value == pytest.approx(1 - observed / (sum(by_chance) / len(by_chance)))
    assert -1 <= found.low <= found.value <= found.high <= 1


@given(ratings=RATINGS)
def test_without_a_side_alpha_is_the_krippendorff_packages(ratings: Array) -> None:
    ratings = np.where(ratings < 0, -1, 2 + ratings % 2)  # ties and both bad
    pairable = ratings[:, (ratings >= 0).sum(axis=0) > 1]
    found = alpha(counts_of(ratings), NOMINAL).value
    if len(set(pairable[pairable >= 0].tolist())) < 2:
        assert found is None
        return
    data = np.where(pairable < 0, np.nan, pairable)
    assert found == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal"), abs=1e-9)


@pytest.mark.parametrize(("distances", "level"), [(NOMINAL, "nominal"), (ORDINAL, "ordinal")])
def test_alpha_is_the_krippendorff_packages_on_the_ratings_and_their_mirror_images(
    distances: Array, level: str
) -> None:
    # Always up to 1 / (number of ratings): mirrored ratings meet their own images.
    random = np.random.default_rng(1)
    truth = random.choice(3, p=[0.6, 0.2, 0.2], size=3000)
    ratings = np.where(random.random((3, 3000)) < 0.7, truth, random.choice(3, p=[0.5, 0.2, 0.3], size=(3, 3000)))
    counts = np.vstack([counts_of(ratings), counts_of(EXCHANGE[ratings])])[:, [0, 2, 1]]  # first, tie, second
    package = krippendorff.alpha(value_counts=counts, level_of_measurement=level)
    assert alpha(counts_of(ratings), distances).value == pytest.approx(package, abs=2e-4)


@LEVELS
@pytest.mark.parametrize(
    "ratings",
    [
        np.zeros((0, 0), dtype=int),
        np.array([[0, 1, 2]]),
        np.array([[0, -1], [-1, 1]]),
        np.full((2, 4), -1),
        np.full((2, 4), 3),
        np.array([[2, 2, 0], [2, 2, -1]]),
    ],
)
def test_alpha_is_undefined_where_chance_cannot_disagree(distances: Array, ratings: Array) -> None:
    assert alpha(counts_of(ratings), distances) == UNDEFINED == Coefficient(None, -1.0, 1.0)


def test_both_bad_is_another_verdict_than_a_tie_and_no_other_preference() -> None:
    ratings = np.array([[0, 1, 2, 2], [0, 1, 3, 3]])
    assert alpha(counts_of(ratings), ORDINAL).value == 1
    # 2 of 4 pairs differ; by chance two of eight ratings: 28 couples, 6 of sides (half equal), 2 equal of ties and bad.
    assert alpha(counts_of(ratings), NOMINAL).value == pytest.approx(1 - 0.5 / ((28 - 3 - 2) / 28))


def test_a_tie_against_a_side_is_a_quarter_of_the_disagreement_of_both_sides() -> None:
    # Mean square distance 1/2 (four ratings are sides of eight, so twice the mean square is 2 · 7 / 8).
    first, second = np.array([0, 1, 0, 1]), np.array([0, 1, 0, 2])
    assert alpha(counts_of(np.stack([first, second])), ORDINAL).value == pytest.approx(1 - (1 / 4) / (2 * 7 / 8))
    assert kappa(first, second, ORDINAL).value == pytest.approx(1 - (1 / 4) / (1 + 3 / 4))
    assert kappa(first, second, NOMINAL).value == pytest.approx((3 / 4 - 3 / 8) / (1 - 3 / 8))


@LEVELS
def test_perfect_agreement_is_one_and_steady_contradiction_minus_one(distances: Array) -> None:
    assert alpha(counts_of(np.array([[0, 1, 2], [0, 1, 2]])), distances).value == 1
    assert alpha(counts_of(np.array([[0, 0], [0, 0]])), distances).value == 1, "two who always take the chosen one"
    assert alpha(counts_of(np.array([[0, 0], [1, 1]])), distances).value == pytest.approx(-1)


def test_many_pairs_need_no_square_of_memory() -> None:
    # 200,000 ratings: a matrix over couples of ratings would hold 4 · 10¹⁰ numbers.
    ratings = np.random.default_rng(0).integers(4, size=(2, 100_000))
    assert alpha(counts_of(ratings), NOMINAL).value == pytest.approx(0, abs=0.02)


@given(RATINGS)
def test_equal_couples_are_those_counted_one_by_one(ratings: Array) -> None:
    counted = [
        [one == other for one, other in combinations([value for value in pair if value >= 0], 2)]
        for pair in ratings.T.tolist()
    ]
    equal, couples = equal_couples(counts_of(ratings))
    assert equal.tolist() == [sum(pair) for pair in counted]
    assert couples.tolist() == [len(pair) for pair in counted]


@pytest.mark.parametrize(("distances", "weights"), [(NOMINAL, None), (ORDINAL, "quadratic")])
@given(data=st.data())
def test_kappa_is_scikit_learns_on_the_pairs_and_their_mirror_images(
    distances: Array, weights: str | None, data: st.DataObject
) -> None:
    ratings = data.draw(st.integers(0, 20).flatmap(lambda n: arrays(np.int64, (2, n), elements=st.integers(-1, 2))))
    found = kappa(ratings[0], ratings[1], distances).value
    both = ratings[:, (ratings >= 0).all(axis=0)]
    # The ratings and their images, each with each exchanged on its own where chance is asked.
    line = np.array([0, 2, 1])
    mirrored = np.hstack([both, EXCHANGE[both]])
    if found is None:
        assert len(np.unique(both)) < 2
        return
    assert found == pytest.approx(cohen_kappa_score(line[mirrored[0]], line[mirrored[1]], weights=weights))


def test_kappa_of_arrays_of_two_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        kappa(np.zeros(2, dtype=int), np.zeros(3, dtype=int), NOMINAL)


@pytest.mark.parametrize("annotators", [2, 3, 5, 10])
def test_intervals_cover_the_truth_in_95_of_100_samples(annotators: int) -> None:
    # People err on the same hard pairs. Couples as observations cover 95, 88, 73, 46 % with 2, 3, 5, 10 annotators.
    random = np.random.default_rng(annotators)
    ratings = _sampled(random, annotators, 60_000)
    counts = counts_of(ratings)
    truths = [float(np.divide(*(part.sum() for part in equal_couples(counts))))]
    truths += [_value(alpha(counts, distances)) for distances in (NOMINAL, ORDINAL)]
    truths += [_value(kappa(ratings[0], ratings[1], distances)) for distances in (NOMINAL, ORDINAL)]
    hits = np.zeros(len(truths))
    for _ in range(400):
        ratings = _sampled(random, annotators, 80)
        counts = counts_of(ratings)
        found = [share_over_pairs(*equal_couples(counts))]
        found += [alpha(counts, distances) for distances in (NOMINAL, ORDINAL)]
        found += [kappa(ratings[0], ratings[1], distances) for distances in (NOMINAL, ORDINAL)]
        hits += [each.low <= truth <= each.high for each, truth in zip(found, truths, strict=True)]
    assert hits.min() / 400 > 0.92
    assert hits.max() / 400 < 0.99


def test_a_share_over_pairs_of_worked_cases() -> None:
    assert share_over_pairs(np.zeros(3, dtype=int), np.zeros(3, dtype=int)).value is None
    share = share_over_pairs(np.array([1, 3, 0]), np.array([1, 3, 0]))
    assert (share.value, share.high, share.count) == (1.0, 1.0, 4) and share.low < 0.6
    # Two pairs of five alike votes are two observations, not ten: as wide as two pairs of one.
    two, ten = (share_over_pairs(np.array([size, 0]), np.array([size, size])) for size in (1, 5))
    assert (two.low, two.high) == pytest.approx((ten.low, ten.high))
    # Half, of six pairs with the further ones: t of 5 degrees of freedom 2.5706, √(6 / 5 · 6 · 0.25) / 6 = 0.2236.
    assert (two.low, two.high) == (0.0, 1.0)
    wide = share_over_pairs(np.repeat([1, 0], 8), np.ones(16, dtype=int))
    assert wide.low == pytest.approx(0.5 - 2.0930 * np.sqrt(20 / 19 * 20 * 0.25) / 20, abs=1e-4)


def assert_close(found: Coefficient, expected: Coefficient) -> None:
    assert (found.value is None) == (expected.value is None)
    values = [(each.value or 0.0, each.low, each.high) for each in (found, expected)]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def _value(coefficient: Coefficient) -> float:
    assert coefficient.value is not None
    return coefficient.value


def _sampled(random: np.random.Generator, annotators: int, pair_count: int) -> Array:
    """(annotators, pairs) verdicts on pairs of one difference each, seen with noise; a small one is a tie."""
    seen = random.normal(size=pair_count) + random.normal(size=(annotators, pair_count))
    return np.where(np.abs(seen) < 0.25, 2, np.where(seen > 0, 0, 1))
