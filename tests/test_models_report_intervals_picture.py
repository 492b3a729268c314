"""Comparisons as bars of wins, ties and losses with the intervals of their rates."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_pages import JUDGED

from models.report.intervals_picture import LEFT as BAR_LEFT
from models.report.intervals_picture import RIGHT as BAR_RIGHT
from models.report.intervals_picture import draw_comparisons
from models.report.policy_contents import Rate


def test_the_bar_is_shared_out_by_wins_ties_and_losses() -> None:
    (row,) = draw_comparisons([JUDGED])
    assert [(part.mark, part.label) for part in row.parts] == [
        ("win", "win 64.0 %"),
        ("tie", "tie"),
        ("lose", "lose 26.0 %"),
    ]
    width = BAR_RIGHT - BAR_LEFT
    assert [part.x for part in row.parts] == pytest.approx(
        [BAR_LEFT, BAR_LEFT + 0.64 * width, BAR_LEFT + 0.74 * width], abs=0.1
    )
    assert row.intervals[0].x == pytest.approx(BAR_LEFT + 0.69 * width, abs=0.1)
    assert row.intervals[1].title == "length-controlled win rate 61.0 % (54.0 to 67.0 %)"


def test_a_rate_without_length_control_has_one_interval_and_no_comparison_no_row() -> None:
    assert len(draw_comparisons([replace(JUDGED, length_controlled=None)])[0].intervals) == 1
    assert draw_comparisons([replace(JUDGED, win=0, tie=0, lose=0)]) == ()
    rows = draw_comparisons([JUDGED, replace(JUDGED, tie=0, lose=0)])
    assert [len(row.parts) for row in rows] == [3, 1]
    assert rows[1].top > rows[0].top


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.floats(-0.5, 1.5))
def test_bars_and_intervals_stay_on_their_scale(win: int, tie: int, lose: int, value: float) -> None:
    rate = Rate(value, value - 0.1, value + 0.1)
    for row in draw_comparisons([replace(JUDGED, win=win, tie=tie, lose=lose, rate=rate)]):
        assert sum(part.width for part in row.parts) == pytest.approx(BAR_RIGHT - BAR_LEFT, abs=0.3)
        for each in row.intervals:
            assert BAR_LEFT <= each.low <= each.x <= each.high <= BAR_RIGHT
