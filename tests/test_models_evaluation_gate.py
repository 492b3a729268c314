"""The gate's looks: how often equal policies pass, however often one looks; levels and intervals worked by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.gate import ALPHA, judged, level_of
from models.intervals import share, share_at

PROMPTS, TIES, LOOKS, EXPERIMENTS = 130, 0.18, 20, 4_000
OUTCOMES = np.array([1.0, 0.5, 0.0])


@cache
def passes(number: int, wins: int, losses: int) -> tuple[bool, bool]:
    """Whether a look with this outcome passes the gate, and whether it passes a plain 95 % interval."""
    rate = share([1.0] * wins + [0.0] * losses + [0.5] * (PROMPTS - wins - losses), range(PROMPTS))
    return judged(number, rate, PROMPTS).is_better, rate.low > 0.5


@pytest.mark.parametrize("shares_prompts", [False, True], ids=["independent looks", "looks that share prompts"])
def test_an_equal_policy_passes_one_of_twenty_looks_in_at_most_five_percent(shares_prompts: bool) -> None:
    rng = np.random.default_rng(6)
    by_gate = by_plain_interval = 0
    for _ in range(EXPERIMENTS):
        # Each prompt favours one of the two, on average nobody; looks that share prompts share what those favour.
        favours = rng.beta(0.5, 0.5, (1 if shares_prompts else LOOKS, PROMPTS))
        is_decided = rng.random((LOOKS, PROMPTS)) >= TIES
        is_won = rng.random((LOOKS, PROMPTS)) < favours
        wins, losses = (is_decided & is_won).sum(axis=1), (is_decided & ~is_won).sum(axis=1)
        outcomes = [passes(look + 1, int(wins[look]), int(losses[look])) for look in range(LOOKS)]
        by_gate += any(gate for gate, _ in outcomes)
        by_plain_interval += any(plain for _, plain in outcomes)
    assert by_gate / EXPERIMENTS <= ALPHA
    assert by_plain_interval / EXPERIMENTS > 0.1, "what the gate was before"


def test_the_levels_of_all_looks_that_will_ever_be_sum_to_five_percent() -> None:
    levels = [level_of(number) for number in range(1, 10_001)]
    assert levels[:3] == pytest.approx([0.025, 0.05 / 6, 0.05 / 12])
    assert sum(levels) == pytest.approx(ALPHA * (1 - 1 / 10_001))


def test_a_real_gain_still_passes() -> None:
    rng = np.random.default_rng(1)
    chances = (0.65 - TIES / 2, TIES, 1 - 0.65 - TIES / 2)
    rates = [share(rng.choice(OUTCOMES, PROMPTS, p=chances), range(PROMPTS)) for _ in range(300)]
    power = {k: np.mean([judged(k, rate, PROMPTS).is_better for rate in rates]) for k in (1, 5, 20)}
    assert power[1] > 0.93 and power[5] > 0.72 and power[20] > 0.45


values = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=60)


@given(values)
def test_the_first_look_is_judged_by_the_plain_interval(scores: list[float]) -> None:
    rate = share(scores, range(len(scores)))
    look = judged(1, rate, len(scores))
    assert look.level == 0.025
    assert (look.low if rate.value >= 0.5 else look.high) == pytest.approx(
        rate.low if rate.value >= 0.5 else rate.high, abs=1e-9
    )


@given(values, st.integers(1, 40))
def test_a_later_look_asks_for_more_and_mirrors(scores: list[float], number: int) -> None:
    rate = share(scores, range(len(scores)))
    look, later = judged(number, rate, len(scores)), judged(number + 1, rate, len(scores))
    assert 0 <= later.low <= look.low <= rate.value <= look.high <= later.high <= 1
    other = judged(number, share([1 - score for score in scores], range(len(scores))), len(scores))
    assert (other.low, other.high) == pytest.approx((1 - look.high, 1 - look.low), abs=1e-9)
    assert other.is_worse == look.is_better or abs(look.low - 0.5) < 1e-9


def test_an_interval_at_another_confidence_by_hand() -> None:
    # 90 of 100: 92 of 104 with the four added; deviation √((92/104)(12/104)/103) = 0.031478, t(103) = 2.6245 at 99 %
    interval = share_at(share([1.0] * 90 + [0.0] * 10, range(100)), 100, confidence=0.99)
    assert interval == pytest.approx((0.9, 92 / 104 - 2.62453 * 0.0314785, 92 / 104 + 2.62453 * 0.0314785), abs=1e-5)


def test_so_few_prompts_that_nothing_is_known_never_pass() -> None:
    assert not judged(1, share([1.0], [1]), 1).is_better
    assert not judged(20, share([1.0] * 10, range(10)), 10).is_better, "chance gives 10 of 10 once in 1,024"
