"""What pictures say in words and figures: values with bounds, ranges of axes, a plot's numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from models.intervals import Interval
from models.report.axes import digits, is_drawable
from models.studies.findings import FieldPlot, HistogramPlot, IntervalPlot, LinePlot, Plot, Table

_WIDEST = 1.5  # times the range of all else may a bound lie beyond it and still be on the axis


def number_words(value: float) -> str:
    """Three digits; infinity as its sign, and words for what is no number."""
    if math.isnan(value):
        return "no number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return digits(value) if value != round(value) or abs(value) >= 1e7 else f"{value:,.0f}".replace("-", "−")


def interval_words(interval: Interval) -> str:
    """The value with its bounds, where they differ."""
    value, low, high = interval
    words = digits(value) if is_drawable(value) else number_words(value)
    return words if low == high == value or math.isnan(value) else f"{words} ({_bound(low)} to {_bound(high)})"


def shown_range(
    intervals: Sequence[Interval], reference: float | None, *, is_logarithmic: bool = False
) -> tuple[float, float]:
    """From where to where an axis goes: all values, the reference, and the bounds that are not far beyond.

    A few very wide intervals would press all others together; their bars end at the edge instead. There is one
    interval or more, their values drawable; bounds may be infinite.
    """
    scaled = [
        [math.log(value) if is_logarithmic else value for value in each if _is_on_axis(value, is_logarithmic)]
        for each in intervals
    ]
    narrow_first = sorted(scaled, key=lambda values: max(values) - min(values))
    core = [value for values in narrow_first[: (len(narrow_first) + 1) // 2] for value in values]
    core += [values[0] for values in scaled]
    if reference is not None and is_drawable(reference, is_logarithmic=is_logarithmic):
        core.append(math.log(reference) if is_logarithmic else reference)
    low, high = min(core), max(core)
    room = _WIDEST * (high - low)
    bounds = [value for values in scaled for value in values if low - room <= value <= high + room]
    ends = min(low, *bounds), max(high, *bounds)
    return (math.exp(ends[0]), math.exp(ends[1])) if is_logarithmic else ends


def undrawn_notes(undrawn_count: int, drawn: Sequence[Interval]) -> tuple[str, ...]:
    """What stands below a picture that cannot show everything."""
    notes = []
    if undrawn_count:
        is_are = "value is" if undrawn_count == 1 else "values are"
        notes.append(f"{undrawn_count:,} {is_are} not finite, or beyond the axis’s kind, and not drawn.")
    unbounded = sum(not (math.isfinite(low) and math.isfinite(high)) for _, low, high in drawn)
    if unbounded:
        notes.append(f"{unbounded:,} {'interval has' if unbounded == 1 else 'intervals have'} no finite bound.")
    return tuple(notes)


def plot_table(plot: Plot) -> Table:
    """The numbers of a plot as a table, where no picture can be shown or somebody wants to read them."""
    title = plot.title
    match plot:
        case LinePlot():
            title = f"{title} ({plot.y_title})"
            columns: tuple[str, ...] = (plot.x_title, *(line.name for line in plot.lines))
            by_line = [dict(line.points) for line in plot.lines]
            places = sorted({at for points in by_line for at in points})
            rows: list[tuple[str, ...]] = [
                (number_words(at), *(interval_words(points[at]) if at in points else "–" for points in by_line))
                for at in places
            ]
        case IntervalPlot():
            columns, rows = ("", plot.x_title), [(name, interval_words(interval)) for name, interval in plot.rows]
        case HistogramPlot():
            columns = (plot.x_title, *(name for name, _ in plot.series))
            bins = [f"{number_words(low)} to {number_words(high)}" for low, high in pairwise(plot.edges)]
            counts = zip(*(counts for _, counts in plot.series), strict=True) if plot.series else ([] for _ in bins)
            rows = [(name, *(f"{count:,}" for count in of_bin)) for name, of_bin in zip(bins, counts, strict=True)]
        case FieldPlot():
            columns = (plot.x_title, plot.y_title, "change along the first", "along the second")
            rows = [tuple(map(number_words, arrow)) for arrow in plot.arrows]
    return Table(title, columns, tuple(rows), 0 if isinstance(plot, FieldPlot) else 1, plot.caption)


def _bound(value: float) -> str:
    return number_words(value) if not math.isfinite(value) else digits(value)


def _is_on_axis(value: float, is_logarithmic: bool) -> bool:
    return is_drawable(value, is_logarithmic=is_logarithmic)
