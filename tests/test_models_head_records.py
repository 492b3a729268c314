"""What a head says of pairs: antisymmetric margins, probabilities with intervals, refused embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm
from simulated_labels import simulated

from models.head import Head, Margins, Posterior, fit_head, win_probability


@pytest.fixture(scope="module")
def head():
    world = simulated(5, 120, dimension=6)
    return fit_head(world.differences, world.votes, axis_count=4)


def test_margins_are_those_worked_by_hand():
    certain = Posterior(0.5, np.array([2.0]), np.array([[0.0]]), 4.0)
    unsure = Posterior(0.5, np.array([0.0]), np.array([[3.0]]), 4.0)
    made = Head(np.array([[1.0], [0.0]]), (certain, unsure), 30)
    found = made.compare([[1.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]])
    assert found.means == pytest.approx([1.0, 0.0])
    # On the axis: variances 0 and 9 about means 2 and 0, mean 1. Off it: 4 × 0.25 in both.
    assert found.deviations == pytest.approx([np.sqrt((4 + 9) / 2 - 1), 1.0])


def test_swapping_a_pair_swaps_its_probabilities_exactly(head):
    first, second = np.random.default_rng(1).standard_normal((2, 50, 6)).astype(np.float32)
    one, other = head.probabilities(first, second), head.probabilities(second, first)
    assert np.array_equal(one.mean, 1 - other.mean)
    assert one.low == pytest.approx(1 - other.high, abs=1e-15)


def test_a_groups_margins_are_those_of_its_pairs(head):
    vectors = np.random.default_rng(2).standard_normal((7, 6)).astype(np.float32)
    means, deviations = head.margins(vectors)
    assert means.shape == deviations.shape == (7, 7)
    assert np.array_equal(means, -means.T) and np.array_equal(deviations, deviations.T)
    assert not np.diag(means).any() and not np.diag(deviations).any()
    for i, j in ((0, 3), (6, 2)):
        of_pair = head.compare(vectors[i : i + 1], vectors[j : j + 1])
        assert (means[i, j], deviations[i, j]) == pytest.approx((of_pair.means[0], of_pair.deviations[0]))


def test_no_pair_and_a_single_response_are_nothing(head):
    assert [len(part) for part in head.probabilities(np.zeros((0, 6)), np.zeros((0, 6)))] == [0, 0, 0]
    assert head.margins(np.ones((1, 6))).means.tolist() == [[0.0]]


@given(st.floats(-12, 12), st.floats(0.0, 8))
def test_a_probability_is_the_mean_over_the_margin_and_lies_in_its_interval(mean, deviation):
    found = win_probability(Margins(np.array([mean]), np.array([deviation])))
    assert found.low[0] <= found.mean[0] <= found.high[0]
    if deviation > 0.1:
        spread = (mean - 8 * deviation, mean + 8 * deviation)
        exact = quad(lambda x: expit(x) * norm.pdf(x, mean, deviation), *spread, points=[mean], limit=200)[0]
        assert found.mean[0] == pytest.approx(exact, abs=1e-4)
        assert found.low[0] == pytest.approx(expit(norm.ppf(0.05, mean, deviation)))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((2, 5)), np.ones((2, 5)), r"reads embeddings \(n, 6\), got \(2, 5\)"),
        (np.ones((2, 6)), np.ones((3, 6)), "as many first as second"),
        (np.full((1, 6), np.nan), np.ones((1, 6)), "must be finite"),
        (np.ones(6), np.ones(6), "reads embeddings"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(head, first, second, message):
    with pytest.raises(ValueError, match=message):
        head.compare(first, second)
