"""The correction for side and length: it mends a planted bias, mends nothing where there is none, and fits as scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from models.labelling.records import PairKey
from models.quality.compared import Answer, ComparedPair
from models.quality.correction import PENALTY, correction, fit_weights
from models.quality.records import LabelledPair


def judged(number, *, trusted, vote, lengths, is_first_left=True, margin=None, prompt=None):
    fact = LabelledPair(PairKey(2 * number + 1, 2 * number + 2), "", ("easy",), 0.5, *lengths, prompt or number)
    return ComparedPair(fact, trusted, vote, (Answer(is_first_left, vote),), margin)


def world(count, *, length_bias, side_bias, seed=0):
    """Margins of a reward model that knows the truth but adds length and side to it."""
    random = np.random.default_rng(seed)
    pairs = []
    for number in range(1, count + 1):
        first, second = random.integers(5, 200, size=2).tolist()
        is_left, better = bool(random.integers(2)), random.normal()
        margin = better + length_bias * np.log((first + 1) / (second + 1)) + side_bias * (1 if is_left else -1)
        sides = ["first" if value > 0 else "second" for value in (better + random.normal() / 4, margin)]
        pairs.append(
            judged(
                number, trusted=sides[0], vote=sides[1], lengths=(first, second), is_first_left=is_left, margin=margin
            )
        )
    return pairs


def test_a_planted_bias_is_mended_on_prompts_that_the_correction_was_not_fitted_on():
    found = correction(world(400, length_bias=1.5, side_bias=1.0), seed=0)
    assert found.before.value < 0.75 and found.after.value > 0.85
    assert found.gain.low > 0.1 and found.holds_up
    assert found.gain.value == pytest.approx(found.after.value - found.before.value)


@pytest.mark.parametrize("seed", range(3))
def test_where_there_is_no_bias_nothing_holds_up(seed):
    found = correction(world(200, length_bias=0.0, side_bias=0.0, seed=seed), seed=seed)
    assert not found.holds_up and abs(found.gain.value) < 0.05


def test_a_judge_that_knows_nothing_is_not_made_good_by_length():
    """The longer one is the better one, always: that is length's merit, and the correction says so."""
    random = np.random.default_rng(1)
    pairs = []
    for number in range(1, 201):
        lengths = (50, 10) if random.integers(2) else (10, 50)
        trusted = "first" if lengths[0] > lengths[1] else "second"
        pairs.append(judged(number, trusted=trusted, vote="first" if random.integers(2) else "second", lengths=lengths))
    found = correction(pairs, seed=0)
    assert found.after.value == found.length_alone.value == 1.0 and found.gain.low > 0
    assert not found.holds_up


def test_the_weights_are_those_of_the_penalised_likelihood():
    random = np.random.default_rng(2)
    features, is_first = random.normal(size=(60, 3)), random.integers(2, size=60).astype(float)

    def loss(weights):
        odds = features @ weights
        return np.sum(np.logaddexp(0, odds) - is_first * odds) + PENALTY / 2 * weights @ weights

    expected = minimize(loss, np.zeros(3), tol=1e-12).x
    assert fit_weights(features, is_first) == pytest.approx(expected, abs=1e-4)


def test_separable_labels_have_finite_weights():
    features = np.array([[1.0], [2.0], [-1.0]])
    assert np.isfinite(fit_weights(features, np.array([1.0, 1.0, 0.0]))).all()


def test_exchanging_the_stored_sides_changes_nothing():
    pairs = world(120, length_bias=1.0, side_bias=1.0)
    other = {"first": "second", "second": "first"}
    mirrored = [
        judged(
            number,
            trusted=other[one.trusted],
            vote=other[one.vote],
            lengths=(one.pair.second_length, one.pair.first_length),
            is_first_left=not one.answers[0].is_first_left,
            margin=-one.margin,
        )
        for number, one in enumerate(pairs, 1)
    ]
    assert correction(mirrored, seed=3) == correction(pairs, seed=3)


def test_too_few_pairs_or_prompts_give_no_correction():
    pairs = world(49, length_bias=1.0, side_bias=0.0)
    assert correction(pairs, seed=0) is None
    same = [judged(at, trusted="first", vote="first", lengths=(at, 9), prompt=at % 9 + 1) for at in range(1, 60)]
    assert correction(same, seed=0) is None, "nine prompts"
