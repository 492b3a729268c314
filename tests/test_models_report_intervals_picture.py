"""Comparisons as bars of wins, ties and losses with the intervals of their rates."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_pages import JUDGED
from sample_plots import all_words, check_words, paths, titles

from models.report.intervals_picture import LEFT, RIGHT, draw_comparisons
from models.report.plots import Drawing
from models.report.policy_contents import Rate


def parts(drawing: Drawing) -> dict[str, tuple[float, float]]:
    """Where each part of the bar begins, and how wide it is."""
    found = {}
    for group in drawing.groups:
        for stroke in group.strokes:
            if stroke.kind == "part":
                x, width = re.findall(r"[Mh](-?[\d.]+)", stroke.path)[:2]
                found[group.mark] = (float(x), float(width))
    return found


def test_the_bar_is_shared_out_by_wins_ties_and_losses() -> None:
    (drawing,) = draw_comparisons([JUDGED])
    width = RIGHT - LEFT
    assert parts(drawing) == {
        "win": (pytest.approx(LEFT, abs=0.1), pytest.approx(0.64 * width, abs=0.1)),
        "tie": (pytest.approx(LEFT + 0.64 * width, abs=0.1), pytest.approx(0.1 * width, abs=0.1)),
        "lose": (pytest.approx(LEFT + 0.74 * width, abs=0.1), pytest.approx(0.26 * width, abs=0.1)),
    }
    labels = [words.text for words in all_words(drawing) if words.kind == "part-label"]
    assert labels == ["win 64.0 %", "tie", "lose"], "as much as there is room for"
    assert "win 64.0 %, 64 of 100" in titles(drawing)
    assert "win rate: 69.0 (62.0 to 75.0)" in titles(drawing)
    assert "at equal length: 61.0 (54.0 to 67.0)" in titles(drawing)


def test_a_rate_without_length_control_has_one_interval_and_no_comparison_no_picture() -> None:
    assert len(paths(draw_comparisons([JUDGED])[0], "whisker")) == 2
    assert len(paths(draw_comparisons([replace(JUDGED, length_controlled=None)])[0], "whisker")) == 1
    assert draw_comparisons([replace(JUDGED, win=0, tie=0, lose=0)]) == ()
    assert [len(parts(drawing)) for drawing in draw_comparisons([JUDGED, replace(JUDGED, tie=0, lose=0)])] == [3, 1]


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.floats(0, 1), st.text())
def test_bars_intervals_and_words_stay_in_the_picture(win: int, tie: int, lose: int, value: float, name: str) -> None:
    rate = Rate(value, value - 0.1, value + 0.1)
    for drawing in draw_comparisons([replace(JUDGED, win=win, tie=tie, lose=lose, rate=rate, baseline=name)]):
        assert sum(width for _, width in parts(drawing).values()) == pytest.approx(RIGHT - LEFT, abs=0.3)
        check_words(drawing)
        for path in paths(drawing, "whisker"):
            start, stop = re.match(r"M([\d.]+) [\d.]+H([\d.]+)", path).groups()
            assert LEFT <= float(start) <= float(stop) <= RIGHT
