"""Savings: by hand, at the ends of what was tried, and how often simulated intervals hold the true one."""

from __future__ import annotations

import numpy as np
import pytest

from models.intervals import Interval
from models.studies.savings import Saving, saving, savings, worth_of_more

COUNTS = (12, 17, 25, 35, 50, 70, 100, 140, 200, 280, 400)


def flat(values, seeds=3, prompts=4):
    """Curves that all seeds and prompts agree on."""
    return np.tile(np.array(values, dtype=float)[:, None, None], (1, seeds, prompts))


def studied(seed, times, *, seeds, prompts=100):
    """Accuracies of a strategy whose labels are worth `times` random's, and of random, with noise along each path."""
    rng = np.random.default_rng(seed)
    common = 0.1 * rng.standard_normal((1, 1, prompts))
    both = []
    for worth in (times, 1):
        quality = 0.5 + 0.3 * (1 - (1 + np.array(COUNTS) * worth / 60) ** -0.7)
        of_seeds = np.cumsum(rng.standard_normal((len(COUNTS), seeds, 1)), axis=0) * 0.02 / len(COUNTS) ** 0.5
        of_cells = np.cumsum(rng.standard_normal((len(COUNTS), seeds, prompts)), axis=0) * 0.25 / len(COUNTS) ** 0.5
        both.append(quality[:, None, None] + common + of_seeds + of_cells)
    return both


def test_half_the_labels_for_the_same_quality_is_a_saving_of_two():
    one, other = flat([0.6, 0.7, 0.8, 0.9]), flat([0.5, 0.6, 0.7, 0.8])
    found = saving(one, other, (50, 100, 200, 400), 200)
    assert found.interval.value == pytest.approx(2.0)
    # Without any doubt the interval is one step of the grid to each side.
    assert found.interval.low == pytest.approx(2.0 * 2 ** (-1 / 16))
    assert found.interval.high == pytest.approx(2.0 * 2 ** (1 / 16))
    assert saving(one, other, (50, 100, 200, 400), 100).words == "≥ 2.00 [1.92, ≥ 2.00]"


def test_between_two_numbers_of_labels_quality_goes_straight_in_their_logarithm():
    found = saving(flat([0.5, 0.7]), flat([0.4, 0.6]), (100, 400), 400)
    assert found.interval.value == pytest.approx(2.0)  # 0.6 is half way between 100 and 400: 200


def test_equal_curves_save_nothing_flat_ones_too():
    for values in ([0.5, 0.6, 0.7], [0.5, 0.5, 0.5], [0.6, 0.7, 0.65]):
        for budget in (50, 100, 200):
            assert saving(flat(values), flat(values), (50, 100, 200), budget).interval.value == 1.0


def test_beyond_what_was_tried_only_a_bound_is_told():
    low, high = flat([0.5, 0.52, 0.55]), flat([0.6, 0.65, 0.7])
    assert saving(high, low, (50, 100, 200), 200).words == "≥ 4.00 [≥ 4.00, ≥ 4.00]"
    assert saving(low, high, (50, 100, 200), 100).words == "≤ 0.50 [≤ 0.50, ≤ 0.50]"
    assert Saving(100, Interval(1.354, 0.98, 4.0), Interval(1.354, 0.5, 4.0), 0.5, 4.0).words == "1.35 [0.98, ≥ 4.00]"


def test_a_curve_that_falls_by_chance_is_made_to_rise():
    dented = flat([0.5, 0.62, 0.58, 0.7])
    found = saving(dented, flat([0.5, 0.55, 0.6, 0.7]), (50, 100, 200, 400), 200)
    assert found.interval.value == pytest.approx(1.0)  # 0.6 from 100 to 200 labels: the nearest to 200


def test_the_interval_holds_every_saving_that_the_differences_do_not_refuse():
    one, other = studied(4, 2, seeds=8)
    found = saving(one, other, COUNTS, 100)
    _, low, high = found.interval
    assert low < found.interval.value < high
    corrected = saving(one, other, COUNTS, 100, tried=20)
    assert corrected.interval == found.interval
    assert corrected.corrected.low < low < high < corrected.corrected.high


@pytest.mark.parametrize(("times", "seeds"), [(1, 5), (2, 5), (2, 10), (0.5, 5)])
def test_intervals_hold_the_true_saving(times, seeds):
    held = []
    for seed in range(60):
        found = saving(*studied([seed, seeds], times, seeds=seeds), COUNTS, 100)
        is_over_low = found.interval.low <= times or found.interval.low <= found.least
        held.append(is_over_low and (times <= found.interval.high or found.interval.high >= found.most))
    assert np.mean(held) >= 0.93


def test_a_strategy_twice_as_good_is_found():
    above = [saving(*studied(seed, 2, seeds=10, prompts=150), COUNTS, 100).interval.low > 1 for seed in range(40)]
    assert np.mean(above) > 0.85


def test_all_savings_of_a_study_are_corrected_together():
    one, other = studied(1, 2, seeds=5)
    found = savings({"easy": one, "hard": other - 0.05}, other, COUNTS, (50, 100, 200))
    assert list(found) == [(arm, budget) for arm in ("easy", "hard") for budget in (50, 100, 200)]
    assert found["easy", 100] == saving(one, other, COUNTS, 100, tried=6)
    assert found["hard", 100].interval.value < 1


@pytest.mark.parametrize(
    ("one", "counts", "budget", "why"),
    [
        (flat([0.5, 0.6]), (50, 100), 75, r"one of the numbers of labels \[50, 100\], got 75"),
        (flat([0.5, 0.6]), (100, 50), 50, "rising"),
        (flat([0.5]), (50,), 50, "two or more"),
        (flat([0.5, 0.6, 0.7]), (50, 100), 50, "expected two arrays"),
    ],
)
def test_what_makes_no_saving_is_refused_with_a_reason(one, counts, budget, why):
    with pytest.raises(ValueError, match=why):
        saving(one, one, counts, budget)


def test_what_more_labels_add_is_the_slope_over_their_logarithm():
    curve = flat(0.5 + 0.1 * np.log2([50, 100, 200]))
    assert worth_of_more(curve, (50, 100, 200), 2) == pytest.approx(0.1)
