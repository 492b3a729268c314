"""A plane of two shares with arrows: where something pushes, and how hard."""

from __future__ import annotations

import math

from models.report.axes import MOST_TICKS, Axis, is_drawable, round_axis
from models.report.plots.drawing import (
    WIDTH,
    Drawing,
    Frame,
    Group,
    Stroke,
    below,
    empty,
    heading,
    tick_room,
    title_room,
    x_ticks,
    y_ticks,
)
from models.report.plots.lines import NO_VALUE
from models.report.plots.numbers import number_words, undrawn_notes
from models.studies.findings import FieldPlot

_RIGHT = 40.0  # for an arrow that leaves the square
_HEAD = 5.0


def draw_field(plot: FieldPlot) -> Drawing:
    """The arrows begin at their places; the longest is as long as two neighbours are apart, so that none are mistaken.

    One of no length is a dot.
    """
    drawable = [arrow for arrow in plot.arrows if all(map(is_drawable, arrow))]
    if not drawable:
        return empty(plot.title, words=NO_VALUE)
    head = heading(plot.title)
    top = below([head]) + title_room(plot.y_title) + 2
    left = tick_room(_axis([arrow[1] for arrow in drawable], 0, 1))
    side = WIDTH - left - _RIGHT
    frame = Frame(left, left + side, top, top + side)
    x = _axis([arrow[0] for arrow in drawable], frame.left, frame.right)
    y = _axis([arrow[1] for arrow in drawable], frame.bottom, frame.top)
    longest = max(math.hypot(dx, dy) for _, _, dx, dy in drawable)
    scale = side / max(2.0, math.sqrt(len(drawable))) / longest if longest else 0.0
    groups = [head, y_ticks(y, frame, plot.y_title), x_ticks(x, frame, plot.x_title)]
    for arrow in drawable:
        title = (
            f"at {number_words(arrow[0])}, {number_words(arrow[1])}: "
            f"change {number_words(arrow[2])}, {number_words(arrow[3])}"
        )
        start = x.place(arrow[0]), y.place(arrow[1])
        groups.append(_arrow(start, (scale * arrow[2], -scale * arrow[3]), title))
    notes = undrawn_notes(len(plot.arrows) - len(drawable), ())
    return Drawing(plot.title, below(groups) + 2, tuple(groups), notes)


def _axis(values: list[float], start: float, stop: float) -> Axis:
    """The whole of a share, and more where values lie beyond it."""
    return round_axis([0.0, 1.0, *values], start=start, stop=stop, most_ticks=MOST_TICKS)


def _arrow(start: tuple[float, float], along: tuple[float, float], title: str) -> Group:
    x, y = start
    length = math.hypot(*along)
    dot = Stroke(f"M{x - 1.5:.1f} {y:.1f}a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0Z", "marker")
    if length < 1:
        return Group((dot,), mark="plain", title=title)
    tip = x + along[0], y + along[1]
    ux, uy = along[0] / length, along[1] / length
    head = min(_HEAD, length / 2)
    back = tip[0] - head * ux, tip[1] - head * uy
    path = (
        f"M{x:.1f} {y:.1f}L{tip[0]:.1f} {tip[1]:.1f}M{back[0] - head * uy * 0.6:.1f} {back[1] + head * ux * 0.6:.1f}"
        f"L{tip[0]:.1f} {tip[1]:.1f}L{back[0] + head * uy * 0.6:.1f} {back[1] - head * ux * 0.6:.1f}"
    )
    return Group((Stroke(path, "whisker"), dot), mark="plain", title=title)
