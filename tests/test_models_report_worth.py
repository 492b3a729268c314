"""What labels are worth in words, tables and a picture: promised, not measurable, too few."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from models.head import Point, Promise, StrategyWorth, Worth
from models.intervals import Interval
from models.report import worth_markdown, worth_svg
from models.report.worth import (
    curve_table,
    headline,
    longer_words,
    promise_words,
    strategy_table,
    worth_plot,
    worth_words,
)

GAIN = Interval(0.012, 0.004, 0.02)
NEXT = Promise(240, 100, GAIN, Interval(0.68, 0.64, 0.72))
CURVE = tuple(
    Point(count, Interval(right, right - 0.05, right + 0.05))
    for count, right in ((36, 0.55), (52, 0.58), (76, 0.61), (112, 0.64), (180, 0.67))
)
STRATEGIES = tuple(
    StrategyWorth(name, 120, Point(80, Interval(right, right - 0.04, right + 0.04)), NEXT)
    for name, right in (("easy", 0.63), ("random", 0.6))
)
WORTH = Worth(240, 200, CURVE, NEXT, Interval(0.6, 0.55, 0.65), STRATEGIES, "random")
FEW = Worth(12, 9, (), None, Interval(0.5, 0.2, 0.8))


def test_a_measurable_gain_is_promised_with_its_interval():
    assert promise_words(WORTH) == (
        "The next 100 labels are expected to add 1.2 ± 0.8 points (90 % interval 0.4 to 2.0)."
    )
    assert headline(WORTH) == (
        "A reward head made of 240 labels is right about 68.0 % (64.0–72.0 %) of labels that it has not seen "
        "(a coin: 50 %)."
    )


def test_a_gain_that_may_be_none_is_said_to_be_not_measurable():
    flat = replace(WORTH, next=replace(NEXT, gain=Interval(0.003, -0.01, 0.02)))
    assert promise_words(flat) == (
        "The next 100 labels are expected to add nothing measurable: 0.3 points, 90 % interval −1.0 to 2.0."
    )


def test_too_few_labels_get_one_line_that_says_what_it_takes():
    assert headline(FEW) == (
        "A curve of what labels are worth takes 100 labels that prefer a side, on 20 prompts or more. "
        "There are 12 on 9."
    )
    assert promise_words(FEW) == "" and worth_plot(FEW) is None
    assert curve_table(FEW).rows == strategy_table(FEW).rows == ()
    assert longer_words(replace(FEW, longer=None)) == ""
    shown = " ".join(text.text for text in ET.fromstring(worth_svg(FEW)).iter() if text.get("class") == "caption start")
    assert "There are 12 on 9." in shown and "There are 12 on 9." in worth_markdown(FEW).replace("\\", "")
    assert worth_words(FEW)["panel"] is None


@pytest.mark.parametrize("worth", [WORTH, FEW])
def test_the_picture_is_well_formed(worth):
    assert ET.fromstring(worth_svg(worth)).tag.endswith("svg")


def test_the_picture_has_curve_band_promise_and_the_rival():
    plot = worth_plot(WORTH)
    assert [line.name for line in plot.lines] == ["measured", "expected", "the longer response"]
    measured, expected, flat = (line.points for line in plot.lines)
    assert measured[0] == (CURVE[0].count, Interval(*(100 * bound for bound in CURVE[0].accuracy)))
    assert expected[0][0] == NEXT.count and expected[1][0] == NEXT.count + NEXT.step
    assert expected[1][1].value == pytest.approx(100 * (NEXT.accuracy.value + NEXT.gain.value))
    assert flat == ((0.0, Interval(60.0, 60.0, 60.0)), (expected[1][0], Interval(60.0, 60.0, 60.0)))


def test_strategies_stand_beside_each_other_at_as_many_labels():
    table = strategy_table(WORTH)
    assert table.columns[2] == "right, of 80 labels"
    assert table.rows[0] == ("easy", "120", "63.0 %", "59.0–67.0 %", "1.2", "0.4 to 2.0")
    assert "pairs that the strategy random selected" in worth_markdown(WORTH)
