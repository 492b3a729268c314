"""Win, tie and lose as one bar with the win rates and their 95 % intervals under it. Knows no colours."""

from __future__ import annotations

from collections.abc import Sequence

from models.intervals import Interval
from models.report.axes import digits, round_axis
from models.report.plots import Drawing, drawings_svg
from models.report.plots.drawing import WIDTH, Frame, Group, Stroke, Words, below, heading, text_width, x_ticks
from models.report.plots.rows import ROW_HEIGHT, interval_row
from models.report.policy_contents import EvaluationFigures, Rate

LEFT, RIGHT = 10.0, WIDTH - 14.0
_BAR_HEIGHT = 26.0
NO_COMPARISONS = "Nobody has compared the policy with another model yet."


def comparisons_svg(evaluations: Sequence[EvaluationFigures]) -> str:
    """The comparisons as an SVG document on a sheet of its own: dark where the viewer prefers dark.

    Without any comparison it says so in words.
    """
    return drawings_svg(draw_comparisons(evaluations), title="Wins, ties and losses", nothing=NO_COMPARISONS)


def draw_comparisons(evaluations: Sequence[EvaluationFigures]) -> tuple[Drawing, ...]:
    """One picture an evaluation, in the order given; one without a comparison is left out."""
    return tuple(_comparison(each) for each in evaluations if each.win + each.tie + each.lose)


def percent(share: float) -> str:
    """A share as a percentage of three digits."""
    return f"{digits(100 * share)} %"


def rate_words(rate: Rate) -> str:
    """A rate with its 95 % interval in words."""
    return f"{percent(rate.value)} ({digits(100 * rate.low)} to {percent(rate.high)})"


def _comparison(figures: EvaluationFigures) -> Drawing:
    seed = "" if figures.seed is None else f", seed {figures.seed}"
    title = f"{figures.annotator}: policy against {figures.baseline}{seed}"
    head = heading(title)
    top = below([head]) + 4
    rates = [("win rate", figures.rate)]
    if figures.length_controlled:
        rates.append(("at equal length", figures.length_controlled))
    frame = Frame(LEFT, RIGHT, top + _BAR_HEIGHT + 6, top + _BAR_HEIGHT + 6 + ROW_HEIGHT * len(rates))
    axis = round_axis([0, 100], start=LEFT, stop=RIGHT, most_ticks=6)
    groups = [
        head,
        *_parts(figures, top),
        x_ticks(axis, frame, "share of comparisons, %; bars: 95 % intervals", is_grid=True),
    ]
    even = Stroke(f"M{axis.place(50)} {frame.top:.1f}V{frame.bottom + 5:.1f}", "reference")
    groups.append(Group((even,), title="as good as each other: 50 %"))
    for row, (words, rate) in enumerate(rates):
        interval = Interval(100 * rate.value, 100 * rate.low, 100 * rate.high)
        groups.append(interval_row(words, interval, axis, frame.top + ROW_HEIGHT * row))
    return Drawing(title, below(groups) + 2, tuple(groups))


def _parts(figures: EvaluationFigures, top: float) -> list[Group]:
    total, counted, parts = figures.win + figures.tie + figures.lose, 0, []
    for mark, count in (("win", figures.win), ("tie", figures.tie), ("lose", figures.lose)):
        x, width = LEFT + (RIGHT - LEFT) * counted / total, (RIGHT - LEFT) * count / total
        words = f"{mark} {percent(count / total)}"
        fits = next((label for label in (words, mark) if text_width(label, "part-label") + 6 < width), "")
        if count:
            bar = Stroke(f"M{x:.1f} {top:.1f}h{width:.1f}v{_BAR_HEIGHT}h{-width:.1f}Z", "part")
            label = Words(fits, round(x + width / 2, 1), top + 17.5, "part-label", "middle")
            parts.append(Group((bar,), (label,) if fits else (), mark, f"{words}, {count:,} of {total:,}"))
        counted += count
    return parts
