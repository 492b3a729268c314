"""Axes with round ticks, and numbers of three digits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.report.axes import digits, round_axis, step_axis


@given(st.lists(st.floats(-1e100, 1e100) | st.floats(0.5, 0.6), min_size=1))
def test_an_axis_holds_its_values_and_its_ticks_rise(found: list[float]) -> None:
    axis = round_axis(found, start=0, stop=100, most_ticks=6)
    assert all(0 <= axis.place(value) <= 100 for value in found)
    places = [place for _, place in axis.ticks]
    assert places == sorted(set(places))
    assert 2 <= len(places) <= 8


@given(st.integers(0, 10**9))
def test_an_axis_of_steps_begins_at_zero_with_few_whole_ticks(last: int) -> None:
    ticks = step_axis(last, start=0, stop=100, most_ticks=6).ticks
    assert ticks[0] == ("0", 0)
    assert 2 <= len(ticks) <= 6
    assert len({label for label, _ in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.85543, "0.855"),
        (9.996, "10.0"),
        (-12.345, "−12.3"),
        (999.6, "1,000"),
        (10423, "10,423"),
        (5e-7, "5.00e−07"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert digits(value) == text
