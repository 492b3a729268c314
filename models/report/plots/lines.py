"""Lines over a common axis with their intervals as bands, or as bars where bands would hide each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, groupby, pairwise
from typing import NamedTuple

from models.intervals import Interval
from models.report.axes import MOST_TICKS, Axis, is_drawable, log_axis, round_axis, step_axis, tight_axis
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
    tick_room,
    title_room,
    x_ticks,
    y_ticks,
)
from models.report.plots.marks import Mark, kept_marks, marker_path
from models.report.plots.numbers import interval_words, number_words, shown_range, undrawn_notes
from models.studies.findings import LinePlot

PLOT_HEIGHT = 190.0
NO_VALUE = "There is no finite value to draw."
_MOST_BANDS = 3  # more of them are mud
_MOST_MARKERS = 16  # of a line; more hide it
_MOST_COLUMNS = 60  # that tell their values to a pointer
_DODGE = 3.0  # between the bars of two lines

Points = list[tuple[float, Interval]]


class _Scene(NamedTuple):
    """Where values are drawn."""

    x: Axis
    y: Axis
    frame: Frame

    def clamped(self, value: float) -> float:
        """The height of a value, or the edge beyond which it lies; it may be infinite."""
        return self.y.place(max(self.y.low, min(self.y.high, value)))


class _Drawn(NamedTuple):
    """A line of the plot that has values to draw: those, and the runs of them that nothing interrupts."""

    name: str
    points: Points
    runs: list[Points]
    mark: Mark
    has_bars: bool  # in place of bands
    shift: float  # of its points, to the right


def draw_lines(plot: LinePlot, *, last_step: int | None = None, of_all: Sequence[str] = ()) -> Drawing:
    """The lines with markers where they have few points; a value that is not finite interrupts its line.

    Up to three lines have bands, more have bars beside each other. A pointer is told all values of an x. With a
    `last_step` the axis is one of whole steps from 0 to it, no point beyond: plots beside each other share it.
    With the names of all their lines, `of_all`, a line has the same mark in each.
    """
    lines = _drawn_lines(plot, of_all)
    if not lines:
        return empty(plot.title, words=NO_VALUE)
    head = heading(plot.title)
    named = [line for line in lines if line.name]
    keys = legend([line.name for line in named], [line.mark for line in named], below([head]) + 2)
    scene = _scene(plot, lines, last_step, top=below([head, *keys]) + title_room(plot.y_title) + 2)
    frame = scene.frame
    groups = [head, *keys, y_ticks(scene.y, frame, plot.y_title), x_ticks(scene.x, frame, plot.x_title)]
    if plot.reference is not None and is_drawable(plot.reference):
        y = scene.y.place(plot.reference)
        title = f"to compare with: {number_words(plot.reference)}"
        groups.append(Group((Stroke(f"M{frame.left} {y}H{frame.right}", "reference"),), title=title))
    groups += [_bars(line, scene) if line.has_bars else _bands(line, scene) for line in lines]
    groups += [_line(line, scene) for line in lines]
    groups += _columns(lines, scene, plot.x_title)
    return Drawing(plot.title, below(groups) + 2, tuple(groups), _notes(plot))


def _drawn_lines(plot: LinePlot, of_all: Sequence[str]) -> list[_Drawn]:
    kept = []
    for line in plot.lines:
        ordered = sorted(line.points, key=lambda point: point[0])
        by_run = groupby(ordered, lambda point: _is_drawn(plot, point))
        runs = [list(run) for is_drawn, run in by_run if is_drawn]
        if runs:
            kept.append((line.name, runs))
    marks = kept_marks([name for name, _ in kept], of_all)
    with_bands = sum(any(low < high for run in runs for _, (_, low, high) in run) for _, runs in kept)
    has_bars = with_bands > _MOST_BANDS
    dodge = _DODGE if has_bars else 0.0
    return [
        _Drawn(name, list(chain.from_iterable(runs)), runs, mark, has_bars, dodge * (number - (len(kept) - 1) / 2))
        for number, ((name, runs), mark) in enumerate(zip(kept, marks, strict=True))
    ]


def _scene(plot: LinePlot, lines: Sequence[_Drawn], last_step: int | None, *, top: float) -> _Scene:
    bottom = top + PLOT_HEIGHT
    intervals = [interval for line in lines for _, interval in line.points]
    y = round_axis(shown_range(intervals, plot.reference), start=bottom, stop=top, most_ticks=MOST_TICKS)
    frame = Frame(round(tick_room(y), 1), WIDTH - 8, top, bottom)
    inset = max(abs(line.shift) for line in lines) + 6
    ends = frame.left + inset, frame.right - inset
    if last_step is not None:
        return _Scene(step_axis(last_step, start=ends[0], stop=ends[1], most_ticks=MOST_TICKS), y, frame)
    return _Scene(_x_axis(plot, sorted({at for line in lines for at, _ in line.points}), ends), y, frame)


def _is_drawn(plot: LinePlot, point: tuple[float, Interval]) -> bool:
    return is_drawable(point[0], is_logarithmic=plot.is_x_logarithmic) and is_drawable(point[1].value)


def _x_axis(plot: LinePlot, places: Sequence[float], ends: tuple[float, float]) -> Axis:
    make_axis = log_axis if plot.is_x_logarithmic else tight_axis
    axis = make_axis(places, start=ends[0], stop=ends[1], most_ticks=MOST_TICKS)
    if len(places) > MOST_TICKS + 1 or any(place != round(place) or place >= 1e5 for place in places):
        return axis
    # Few whole numbers (budgets) are ticks themselves, if there is room for their names.
    ticks = [(f"{place:,.0f}".replace("-", "−"), axis.place(place)) for place in places]
    rooms = [(at - text_width(label) / 2, at + text_width(label) / 2) for label, at in ticks]
    is_apart = all(before[1] + 4 <= after[0] for before, after in pairwise(rooms))
    if not is_apart:
        return axis
    return Axis(axis.low, axis.high, axis.start, axis.stop, tuple(ticks), axis.is_logarithmic)


def _bands(line: _Drawn, scene: _Scene) -> Group:
    strokes = []
    for run in line.runs:
        bounded = [(at, low, high) for at, (_, low, high) in run if is_drawable(low) and is_drawable(high)]
        upper = [f"{scene.x.place(at)} {scene.clamped(high)}" for at, _, high in bounded]
        lower = [f"{scene.x.place(at)} {scene.clamped(low)}" for at, low, _ in reversed(bounded)]
        if len(bounded) == 1:  # a band of no width is a bar
            strokes.append(Stroke(f"M{upper[0]}L{lower[0]}", "whisker"))
        elif any(low < high for _, low, high in bounded):
            strokes.append(Stroke(f"M{'L'.join(upper + lower)}Z", "band"))
    return Group(tuple(strokes), mark=line.mark.name)


def _bars(line: _Drawn, scene: _Scene) -> Group:
    strokes = tuple(
        Stroke(f"M{_x(line, scene, at)} {scene.clamped(low)}V{scene.clamped(high)}", "whisker")
        for at, (_, low, high) in line.points
        if low < high
    )
    return Group(strokes, mark=line.mark.name)


def _line(line: _Drawn, scene: _Scene) -> Group:
    strokes = []
    for run in line.runs:
        first, *others = (f"{_x(line, scene, at)} {scene.y.place(interval.value)}" for at, interval in run)
        # The step of no length first shows a single point where the line has round ends.
        strokes.append(Stroke(f"M{first}h0" + "".join(f"L{place}" for place in others), "line"))
    marked = line.points[:: max(1, math.ceil(len(line.points) / _MOST_MARKERS))]
    strokes += [
        Stroke(marker_path(line.mark, _x(line, scene, at), scene.y.place(interval.value)), line.mark.kind)
        for at, interval in marked
    ]
    return Group(tuple(strokes), mark=line.mark.name)


def _columns(lines: Sequence[_Drawn], scene: _Scene, x_title: str) -> list[Group]:
    """Unseen columns, each with the values of all lines at an x (of many, at every so manieth)."""
    places = sorted({at for line in lines for at, _ in line.points})
    places = places[:: math.ceil(len(places) / _MOST_COLUMNS)]
    at_places = [scene.x.place(at) for at in places]
    middles = [(one + other) / 2 for one, other in pairwise(at_places)]
    edges = [scene.frame.left, *middles, scene.frame.right]
    values: dict[float, list[str]] = {}
    for line in lines:
        for at, interval in line.points:
            name = f"{line.name}: " if line.name else ""
            values.setdefault(at, []).append(f"{name}{interval_words(interval)}")
    top, bottom = scene.frame.top, scene.frame.bottom
    return [
        Group(
            (Stroke(f"M{start:.1f} {top:.1f}H{stop:.1f}V{bottom:.1f}H{start:.1f}Z", "hit"),),
            title="\n".join((f"{x_title}: {number_words(at)}", *values[at])),
        )
        for at, (start, stop) in zip(places, pairwise(edges), strict=True)
    ]


def _notes(plot: LinePlot) -> tuple[str, ...]:
    points = [point for line in plot.lines for point in line.points]
    drawn = [interval for at, interval in points if _is_drawn(plot, (at, interval))]
    return undrawn_notes(len(points) - len(drawn), drawn)


def _x(line: _Drawn, scene: _Scene, at: float) -> float:
    return round(scene.x.place(at) + line.shift, 1)
