"""Plots of every kind as pictures: nothing overlaps, everything is escaped and told, whatever the values."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_plots import (
    BARS,
    BROKEN_LINE,
    FIELD,
    LINES,
    LONG,
    PLOTS,
    ROWS,
    TEN_LINES,
    all_words,
    check_words,
    exactly,
    paths,
    titles,
)

from models.intervals import Interval
from models.report.plots import draw_plot, drawings_svg, plot_svg, plot_table
from models.studies.findings import FieldPlot, HistogramPlot, IntervalPlot, Line, LinePlot, Plot

anything = st.floats() | st.floats(-5, 5)
intervals = (
    st.lists(anything, min_size=3, max_size=3).map(sorted).map(lambda three: Interval(three[1], three[0], three[2]))
)
lines = st.lists(st.tuples(anything, intervals), max_size=8).map(lambda points: Line("one", tuple(points)))
rows = st.lists(st.tuples(st.text(), intervals), max_size=6).map(tuple)
arrows = st.lists(st.tuples(anything, anything, anything, anything), max_size=6).map(tuple)
plots = (
    st.tuples(st.text(), st.lists(lines, max_size=5).map(tuple), st.booleans(), st.none() | anything).map(
        lambda found: LinePlot("t", found[0], "y", found[1], is_x_logarithmic=found[2], reference=found[3])
    )
    | st.tuples(st.text(), rows, st.booleans(), st.none() | anything).map(
        lambda found: IntervalPlot(found[0], "x", found[1], is_x_logarithmic=found[2], reference=found[3])
    )
    | arrows.map(lambda found: FieldPlot("t", "x", "y", found))
)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.title[:12])
def test_no_words_of_a_picture_overlap_or_leave_it(plot: Plot) -> None:
    check_words(draw_plot(plot))


@given(plots)
def test_whatever_the_values_a_picture_is_whole(plot: Plot) -> None:
    drawing = draw_plot(plot)
    check_words(drawing)
    assert "nan" not in " ".join(stroke.path for group in drawing.groups for stroke in group.strokes)
    assert "inf" not in " ".join(stroke.path for group in drawing.groups for stroke in group.strokes)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.title[:12])
def test_a_picture_is_xml_of_its_own_that_asks_nobody_and_marks_nothing_up(plot: Plot) -> None:
    svg = plot_svg(plot)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert {each.tag.partition("}")[2] for each in root.iter()} <= {
        "svg",
        "style",
        "rect",
        "g",
        "path",
        "text",
        "title",
    }
    assert root.get("aria-label") == plot.title


def test_a_caption_stands_below_in_lines_that_fit() -> None:
    root = ElementTree.fromstring(plot_svg(TEN_LINES))
    caption = [each.text or "" for each in root.iter() if each.get("class") == "caption start"]
    assert " ".join(caption) == LONG
    assert len(caption) > 1


def test_every_value_is_told_to_a_pointer() -> None:
    assert "labels: 50\neasy: 0.600 (0.570 to 0.630)\nrandom: 0.580 (0.550 to 0.610)" in titles(draw_plot(LINES))
    assert "easy: 2.40 (1.50 to 3.90)" in titles(draw_plot(ROWS))
    assert "cosine: 0.500 to 1\neasy: 0 of 4, 0.0 %\nhard: 9 of 10, 90.0 %" in titles(draw_plot(BARS))
    assert "at 0.100, 0.100: change 0.500, −0.500" in titles(draw_plot(FIELD))


def test_what_cannot_be_drawn_is_said() -> None:
    assert draw_plot(BROKEN_LINE).notes == (
        "1 value is not finite, or beyond the axis’s kind, and not drawn.",
        "1 interval has no finite bound.",
    )
    assert "1 value is not finite" in plot_svg(BROKEN_LINE)


@pytest.mark.parametrize(
    "plot",
    [
        LinePlot("Empty", "x", "y", ()),
        LinePlot("Empty", "x", "y", (Line("one", ((1.0, exactly(math.nan)),)),)),
        IntervalPlot("Empty", "x", ()),
        HistogramPlot("Empty", "x", "y", (0.0, 1.0), (("one", (0,)),)),
        FieldPlot("Empty", "x", "y", ((math.nan, 0.0, 0.0, 0.0),)),
    ],
)
def test_a_plot_without_a_value_says_so(plot: Plot) -> None:
    assert len(list(all_words(draw_plot(plot)))) == 2
    assert "There is n" in plot_svg(plot)


def test_several_drawings_share_a_sheet_two_in_a_row_and_none_leaves_words() -> None:
    one = draw_plot(LINES)
    sizes = [ElementTree.fromstring(drawings_svg([one] * count, title="t")).get("width") for count in (1, 2, 3)]
    assert sizes[0] != sizes[1] == sizes[2]
    assert "no run yet" in drawings_svg([], title="t", nothing="no run yet")


def test_a_plot_is_a_table_too() -> None:
    assert plot_table(LINES).columns == ("labels", "easy", "random")
    assert plot_table(LINES).rows[0] == ("50", "0.600 (0.570 to 0.630)", "0.580 (0.550 to 0.610)")
    assert plot_table(ROWS).rows[2] == ("other", "1.10 (0.00 to ∞)")
    assert plot_table(BARS).columns == ("cosine", "easy", "hard")
    assert plot_table(BARS).rows[0] == ("−0.500 to 0", "3", "0")
    assert plot_table(FIELD).rows[2] == ("0.500", "0.500", "0", "0")
    assert plot_table(HistogramPlot("", "x", "y", (0.0, 1.0), ())).rows == (("0 to 1",),)


def test_a_long_name_of_a_row_has_a_line_of_its_own() -> None:
    name = "longest_gap, 200 labels, two noisy annotators"
    drawing = draw_plot(IntervalPlot("Saving", "ratio", ((name, Interval(0.0612, 0.000123, 0.123)),)))
    said = {words.text: words.y for words in all_words(drawing)}
    assert said["0.0612 (0.000123 to 0.123)"] > said[name]


def test_a_row_named_after_a_strategy_has_its_mark() -> None:
    names = ("easy", "easy, 100 labels", "easier, 100 labels")
    drawing = draw_plot(IntervalPlot("Saving", "ratio", tuple((name, Interval(1, 0, 2)) for name in names)))
    assert [group.mark for group in drawing.groups if group.mark] == ["easy", "easy", "plain"]


def test_a_bound_far_beyond_the_others_ends_in_an_arrow_and_does_not_press_them_together() -> None:
    rows = (("one", Interval(1, 0, 2)), ("two", Interval(2, 1, 3)), ("wide", Interval(1, -1000, 2)))
    drawing = draw_plot(IntervalPlot("Differences", "points", rows, reference=0))
    bars = paths(drawing, "whisker")
    starts = [float(bar[1:].split(" ")[0]) for bar in bars]
    stops = [float(bar.partition("H")[2].partition("M")[0]) for bar in bars]
    assert stops[0] - starts[0] > 100
    assert starts[2] == 10.0 and "l6.0 5" in bars[2] and "l6.0 5" not in bars[0]
    assert "wide: 1.00 (−1,000 to 2.00)" in titles(drawing)


def test_few_budgets_are_the_ticks_of_their_axis() -> None:
    for is_logarithmic in (False, True):
        plot = LinePlot("t", "labels", "y", LINES.lines, is_x_logarithmic=is_logarithmic)
        ticks = [words.text for words in all_words(draw_plot(plot)) if words.anchor == "middle"]
        assert ticks == ["50", "100", "200", "400", "labels"]


@pytest.mark.parametrize("reference", [math.nan, math.inf, -math.inf, 1e200])
def test_a_reference_that_cannot_be_drawn_is_left_out(reference: float) -> None:
    lines_plot = LinePlot("t", "x", "y", LINES.lines, reference=reference)
    rows_plot = IntervalPlot("t", "x", ROWS.rows, reference=reference)
    for plot in (lines_plot, rows_plot):
        assert paths(draw_plot(plot), "reference") == []
        check_words(draw_plot(plot))
