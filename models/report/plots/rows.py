"""Values with their intervals, a row each: the name and the figures above, dot and bar below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from models.intervals import Interval
from models.report.axes import MOST_TICKS, Axis, is_drawable, log_axis, round_axis
from models.report.contents import COLOURED
from models.report.plots.drawing import (
    LINE_HEIGHT,
    WIDTH,
    Drawing,
    Frame,
    Group,
    Stroke,
    Words,
    below,
    empty,
    fitted,
    heading,
    text_width,
    x_ticks,
)
from models.report.plots.marks import MARKS, Mark, marker_path, series_marks
from models.report.plots.numbers import interval_words, number_words, shown_range, undrawn_notes
from models.studies.findings import IntervalPlot

ROW_HEIGHT = 40.0
NO_ROW = "There is nothing to compare."
_PLAIN = Mark("plain", MARKS.index("mark-0"))
_EDGE = 10.0
_HEAD = 6.0  # of an arrow


def draw_rows(plot: IntervalPlot) -> Drawing:
    """The rows in the order given, over one axis; the bar of a bound beyond it ends in an arrow.

    A row whose value cannot be drawn has its name and figures all the same. One named after a strategy, alone or before
    a comma, has the strategy's mark.
    """
    if not plot.rows:
        return empty(plot.title, words=NO_ROW)
    head = heading(plot.title)
    top = below([head]) + 2
    tops = list(accumulate((row_height(*row) for row in plot.rows), initial=top))
    frame = Frame(_EDGE, WIDTH - _EDGE, top, tops[-1])
    drawable = [interval for _, interval in plot.rows if _is_drawn(plot, interval)]
    groups = [head]
    axis = _axis(plot, drawable, frame) if drawable else None
    if axis:
        groups.append(x_ticks(axis, frame, plot.x_title, is_grid=True))
        groups += _reference(plot, axis, frame)
    for (name, interval), row_top in zip(plot.rows, tops[:-1], strict=True):
        place = axis if axis and _is_drawn(plot, interval) else None
        groups.append(interval_row(name, interval, place, row_top))
    notes = undrawn_notes(len(plot.rows) - len(drawable), drawable)
    return Drawing(plot.title, below(groups) + 2, tuple(groups), notes)


def _is_drawn(plot: IntervalPlot, interval: Interval) -> bool:
    return is_drawable(interval.value, is_logarithmic=plot.is_x_logarithmic)


def _axis(plot: IntervalPlot, intervals: Sequence[Interval], frame: Frame) -> Axis:
    ends = shown_range(intervals, plot.reference, is_logarithmic=plot.is_x_logarithmic)
    axis = log_axis if plot.is_x_logarithmic else round_axis
    return axis(ends, start=frame.left, stop=frame.right, most_ticks=MOST_TICKS)


def _reference(plot: IntervalPlot, axis: Axis, frame: Frame) -> list[Group]:
    if plot.reference is None or not is_drawable(plot.reference, is_logarithmic=plot.is_x_logarithmic):
        return []
    stroke = Stroke(f"M{axis.place(plot.reference)} {frame.top:.1f}V{frame.bottom + 5:.1f}", "reference")
    return [Group((stroke,), title=f"no difference: {number_words(plot.reference)}")]


def interval_row(name: str, interval: Interval, axis: Axis | None, top: float) -> Group:
    """One row, as high as `row_height` says; without an axis it has words alone."""
    figures = interval_words(interval)
    y = top + row_height(name, interval) - ROW_HEIGHT
    words = (
        Words(fitted(name, WIDTH if y > top else _name_room(interval)), 0, top + 14, "label"),
        Words(figures, WIDTH, y + 14, "value", "end"),
    )
    strategy = name.partition(",")[0]
    mark = series_marks([strategy])[0] if strategy in COLOURED else _PLAIN
    strokes = _bar(interval, mark, axis, y + 27) if axis else ()
    return Group(strokes, words, mark.name, f"{name}: {figures}")


def row_height(name: str, interval: Interval) -> float:
    """The height of a row: one line of words and its bar, or two lines where the name is long."""
    return ROW_HEIGHT if text_width(" ".join(name.split())) <= _name_room(interval) else ROW_HEIGHT + LINE_HEIGHT


def _name_room(interval: Interval) -> float:
    """What the figures leave the name of their line."""
    return WIDTH - text_width(interval_words(interval), "value") - 12


def _bar(interval: Interval, mark: Mark, axis: Axis, y: float) -> tuple[Stroke, ...]:
    marker = Stroke(marker_path(mark, axis.place(interval.value), y), mark.kind)
    if interval.low == interval.high:
        return (marker,)
    has_low, has_high = axis.low <= interval.low <= axis.high, axis.low <= interval.high <= axis.high
    start = axis.place(interval.low if has_low else axis.low)
    stop = axis.place(interval.high if has_high else axis.high)
    left = f"M{start} {y - 5:.1f}v10" if has_low else f"M{start + _HEAD} {y - 5:.1f}L{start} {y:.1f}l{_HEAD} 5"
    right = f"M{stop} {y - 5:.1f}v10" if has_high else f"M{stop - _HEAD} {y - 5:.1f}L{stop} {y:.1f}l-{_HEAD} 5"
    return (Stroke(f"M{start} {y:.1f}H{stop}{left}{right}", "whisker"), marker)
