"""Means and differences over seeds and prompts: by hand, at their edges, and how often simulated intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.studies.comparing import compared, crossed, crossed_mean, difference, holm

T_4 = 2.7764451  # Student's, 4 degrees of freedom, 95 %


def effects(seed, shape, of_seeds, of_prompts, of_cells):
    rng = np.random.default_rng(seed)
    seeds, prompts = shape
    rows, columns = rng.standard_normal((seeds, 1)) * of_seeds, rng.standard_normal((1, prompts)) * of_prompts
    return rows + columns + rng.standard_normal(shape) * of_cells


def test_the_mean_of_three_seeds_and_three_prompts_is_worked_out_by_hand():
    found = crossed([[1.0, 4.0, 7.0], [4.0, 7.0, 10.0], [7.0, 10.0, 13.0]])
    # Residuals of seeds sum to −9, 0, 9, of prompts too: 3/2 · 162 / 81 each; nothing is of single cells.
    assert found.mean == 7.0 and found.degrees == 2
    assert (found.of_seeds, found.of_prompts, found.variance) == pytest.approx((3.0, 3.0, 6.0))
    bent = crossed([[2.0, 4.0, 6.0], [4.0, 7.0, 10.0], [6.0, 10.0, 14.0]])
    # Beside seeds and prompts cells hold 1, 0, −1, 0, 0, 0, −1, 0, 1: a mean square of 1.
    assert bent.variance == pytest.approx(6.0 - 1 / 9)


def test_the_variance_never_falls_below_that_of_seeds_or_of_prompts_alone():
    interacting = np.array([[1.0, -1.0], [-1.0, 1.0]])  # sums of rows and columns are 0
    assert crossed(interacting).variance == 0.0
    rows = crossed(interacting + np.array([[0.1], [-0.1]]))
    assert rows.variance == pytest.approx(rows.of_seeds) and rows.of_seeds > 0


def test_a_mean_of_prompts_that_all_seeds_agree_on_is_the_plain_t_interval():
    prompts = np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    found = crossed_mean(np.tile(prompts, (9, 1)))
    half = T_4 * prompts.std(ddof=1) / math.sqrt(5)
    spread = crossed(np.tile(prompts, (9, 1)))
    assert spread.variance == pytest.approx(spread.of_prompts)
    assert found.high - found.value == pytest.approx(half, rel=1e-6)


def test_what_was_not_measured_is_left_out():
    values = effects(0, (4, 9), 1, 1, 1)
    holed = np.insert(values, 3, np.nan, axis=1)
    assert crossed(holed) == pytest.approx(crossed(values))
    assert difference([[1.0, np.nan], [2.0, 3.0]], [[0.0, 9.0], [1.0, 2.0]]).value == 1.0


def test_one_seed_says_nothing_of_other_seeds():
    assert crossed_mean([[1.0, 2.0, 3.0]]) == (2.0, -math.inf, math.inf)
    assert crossed([[1.0, 2.0, 3.0]]).p_value == 1.0


def test_no_difference_is_none_for_sure_and_the_same_difference_everywhere_is_one_for_sure():
    values = effects(1, (5, 20), 1, 1, 1)
    assert difference(values, values) == (0.0, 0.0, 0.0)
    assert crossed(values - values).p_value == 1.0
    assert crossed(np.full((3, 3), 0.5)).p_value == 0.0


@pytest.mark.parametrize(
    ("values", "why"),
    [([1.0, 2.0], "seeds, prompts"), ([[np.nan]], "nothing was measured"), ([[np.inf, 1.0]], "infinite")],
)
def test_what_is_no_table_of_values_is_refused_with_a_reason(values, why):
    with pytest.raises(ValueError, match=why):
        crossed_mean(values)


def test_arms_of_other_prompts_are_not_compared():
    with pytest.raises(ValueError, match=r"same seeds and prompts.*\(2, 3\).*\(2, 4\)"):
        difference(np.zeros((2, 3)), np.zeros((2, 4)))


def test_p_values_are_corrected_by_steps():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.6, 0.5]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="within"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_corrected_p_values_keep_their_order_and_lie_between_the_own_and_bonferronis(p_values):
    corrected = holm(p_values)
    assert list(np.argsort(p_values, kind="stable")) == list(np.lexsort((range(len(corrected)), p_values, corrected)))
    for own, found in zip(p_values, corrected, strict=True):
        assert own <= found <= max(1.0, own * len(p_values))


def test_a_family_of_comparisons_is_corrected_together():
    base = effects(2, (6, 40), 0.1, 1, 0.1)
    noise = effects(3, (6, 40), 0.05, 0.1, 0.1)
    found = compared({("easy", 50): (base + 1 + noise, base), ("hard", 50): (base - 1 + noise, base),
                      ("same", 50): (base + noise - noise.mean(), base)})  # fmt: skip
    assert found["easy", 50].is_more and not found["easy", 50].is_less
    assert found["hard", 50].is_less
    assert not found["same", 50].is_more and not found["same", 50].is_less
    for each in found.values():
        assert each.corrected.low < each.interval.low < each.interval.high < each.corrected.high
        assert each.p_value <= each.corrected_p


@pytest.mark.parametrize(
    ("shape", "of_seeds", "of_prompts", "of_cells"),
    [((5, 100), 0.1, 0.3, 1.0), ((5, 100), 0.5, 1.0, 1.0), ((10, 40), 0.2, 0.0, 1.0), ((3, 200), 0.0, 0.5, 0.5)],
)
def test_intervals_hold_with_seeds_and_prompts_both_random(shape, of_seeds, of_prompts, of_cells):
    held = []
    for seed in range(400):
        found = crossed_mean(effects(seed, shape, of_seeds, of_prompts, of_cells))
        held.append(found.low <= 0 <= found.high)
    assert np.mean(held) >= 0.93  # of 95, less two standard errors of 400
