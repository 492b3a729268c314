"""Whether an agreement clears a bar, and how many prompts will tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.intervals import Interval, share
from models.quality.clearing import clears, interval_at, prompts_to_clear


def found(right, count):
    return share([1.0] * right + [0.0] * (count - right), list(range(count)))


def test_the_lower_end_counts_and_not_the_share():
    assert found(8, 10).value > 0.7 and not clears(found(8, 10), 0.7)
    assert clears(found(160, 200), 0.7)
    assert not clears(None, 0.0)
    assert clears(Interval(0.8, 0.7, 0.9), 0.7), "at the bar is enough"


@given(st.integers(1, 60), st.data())
def test_the_interval_at_the_present_number_is_the_present_one(count, data):
    agreement = found(data.draw(st.integers(0, count)), count)
    assert interval_at(agreement, count, count) == pytest.approx(agreement, abs=1e-9)


def test_the_interval_of_more_prompts_is_what_they_would_give():
    assert interval_at(found(30, 40), 40, 400) == pytest.approx(found(300, 400), abs=0.01)


def test_the_prompts_that_it_takes_are_the_fewest_that_clear_the_bar():
    agreement = found(32, 40)
    needed = prompts_to_clear(agreement, 40, 0.75)
    assert 40 < needed < 1_000
    assert clears(interval_at(agreement, 40, needed), 0.75)
    assert not clears(interval_at(agreement, 40, needed - 1), 0.75)
    assert prompts_to_clear(agreement, 40, 0.2) == 40


def test_no_number_of_prompts_clears_a_bar_that_the_share_does_not_reach():
    assert prompts_to_clear(found(32, 40), 40, 0.8) is None
    assert prompts_to_clear(found(10, 40), 40, 0.9) is None
