"""Histograms on shared bins as outlines: shares of each series, in percent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from models.report.axes import MOST_TICKS, Axis, is_drawable, round_axis, tight_axis
from models.report.plots.drawing import (
    WIDTH,
    Drawing,
    Frame,
    Group,
    Stroke,
    below,
    empty,
    heading,
    legend,
    text_width,
    title_room,
    x_ticks,
    y_ticks,
)
from models.report.plots.marks import Mark, kept_marks
from models.report.plots.numbers import number_words
from models.studies.findings import HistogramPlot

PLOT_HEIGHT = 170.0
NO_COUNT = "There is nothing to count."
_LEFT = text_width("100 %") + 10


def draw_bars(plot: HistogramPlot, *, of_all: Sequence[str] = ()) -> Drawing:
    """The series' outlines, heights in percent of the series; a pointer is told the counts of a bin.

    A series without a count has none. `of_all`: the names of all series of plots beside each other, which keep theirs.

    Raises:
        ValueError: if the edges do not rise, are not finite, or a series has not one count a bin.
    """
    _check(plot)
    series = [(name, counts) for name, counts in plot.series if sum(counts)]
    if not series:
        return empty(plot.title, words=NO_COUNT)
    marks = kept_marks([name for name, _ in series], of_all)
    head = heading(plot.title)
    keys = legend([name for name, _ in series], marks, below([head]) + 2, is_filled=True)
    top = below([head, *keys]) + title_room(plot.y_title) + 2
    frame = Frame(_LEFT, WIDTH - 8, top, top + PLOT_HEIGHT)
    x = tight_axis(plot.edges, start=frame.left, stop=frame.right, most_ticks=MOST_TICKS)
    peak = max(max(counts) / sum(counts) for _, counts in series)
    y = round_axis([0, 100 * peak], start=frame.bottom, stop=top, most_ticks=5)
    y = Axis(y.low, y.high, y.start, y.stop, tuple((f"{label} %", place) for label, place in y.ticks))
    groups = [head, *keys, y_ticks(y, frame, plot.y_title), x_ticks(x, frame, plot.x_title)]
    groups += [_outline(plot.edges, counts, mark, (x, y)) for (_, counts), mark in zip(series, marks, strict=True)]
    groups += _columns(plot, series, x, frame)
    return Drawing(plot.title, below(groups) + 2, tuple(groups))


def _check(plot: HistogramPlot) -> None:
    if len(plot.edges) < 2 or any(not is_drawable(edge) for edge in plot.edges):
        raise ValueError(f"a histogram has two finite edges or more, got {plot.edges}")
    if any(one >= other for one, other in pairwise(plot.edges)):
        raise ValueError(f"the edges of a histogram rise, got {plot.edges}")
    for name, counts in plot.series:
        if len(counts) != len(plot.edges) - 1:
            raise ValueError(f"{len(plot.edges) - 1} bins take as many counts, {name} has {len(counts)}")


def _outline(edges: Sequence[float], counts: Sequence[int], mark: Mark, axes: tuple[Axis, Axis]) -> Group:
    x, y = axes
    total = sum(counts)
    steps = "".join(
        f"V{y.place(100 * count / total)}H{x.place(edge)}" for count, edge in zip(counts, edges[1:], strict=True)
    )
    path = f"M{x.place(edges[0])} {y.place(0)}{steps}V{y.place(0)}"
    return Group((Stroke(f"{path}Z", "filled"),), mark=mark.name)


def _columns(plot: HistogramPlot, series: Sequence[tuple[str, tuple[int, ...]]], x: Axis, frame: Frame) -> list[Group]:
    columns = []
    for number, (low, high) in enumerate(pairwise(plot.edges)):
        lines = [f"{plot.x_title}: {number_words(low)} to {number_words(high)}"]
        for name, counts in series:
            share = 100 * counts[number] / sum(counts)
            lines.append(f"{name}: {counts[number]:,} of {sum(counts):,}, {share:.1f} %")
        path = f"M{x.place(low)} {frame.top:.1f}H{x.place(high)}V{frame.bottom:.1f}H{x.place(low)}Z"
        columns.append(Group((Stroke(path, "hit"),), title="\n".join(lines)))
    return columns
