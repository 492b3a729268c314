"""Win, tie and lose as one bar with the win rates and their 95 % intervals under it. Knows no colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.records import shortened
from models.report.axes import digits
from models.report.policy_contents import EvaluationFigures, Rate
from models.report.templates import make_environment

WIDTH, ROW_HEIGHT = 460, 132  # SVG units, about one CSS pixel on a wide screen
LEFT, RIGHT = 12, 448
_LETTERS = 58  # that fit the width as a heading
NO_COMPARISONS = "Nobody has compared the policy with another model yet."


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the bar; `label` is empty where it would not fit."""

    mark: str
    x: float
    width: float
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate's place between those of its low and its high end, all clipped to the scale."""

    mark: str
    y: float
    low: float
    x: float
    high: float
    title: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One evaluation: heading, bar and one or two rates, in a frame of its own that begins at `top`."""

    title: str
    top: float
    parts: tuple[Part, ...]
    intervals: tuple[Interval, ...]


def comparisons_svg(evaluations: Sequence[EvaluationFigures]) -> str:
    """The comparisons as an SVG document on a sheet of its own: dark where the viewer prefers dark.

    Without any comparison it says so in words.
    """
    return (
        make_environment()
        .get_template("intervals_sheet.html")
        .render(comparisons=draw_comparisons(evaluations), size=(WIDTH, ROW_HEIGHT), nothing=NO_COMPARISONS)
    )


def draw_comparisons(evaluations: Sequence[EvaluationFigures]) -> tuple[Comparison, ...]:
    """One row an evaluation, in the order given; one without a comparison is left out."""
    compared = [evaluation for evaluation in evaluations if evaluation.win + evaluation.tie + evaluation.lose]
    return tuple(_comparison(evaluation, ROW_HEIGHT * row) for row, evaluation in enumerate(compared))


def percent(share: float) -> str:
    """A share as a percentage of three digits."""
    return f"{digits(100 * share)} %"


def rate_words(rate: Rate) -> str:
    """A rate with its 95 % interval in words."""
    return f"{percent(rate.value)} ({digits(100 * rate.low)} to {percent(rate.high)})"


def _comparison(figures: EvaluationFigures, top: float) -> Comparison:
    rates = [("rate", "win rate", figures.rate)]
    if figures.length_controlled:
        rates.append(("controlled", "length-controlled win rate", figures.length_controlled))
    seed = "" if figures.seed is None else f", seed {figures.seed}"
    return Comparison(
        shortened(f"{figures.annotator}: policy against {figures.baseline}", _LETTERS - len(seed)) + seed,
        top,
        _parts(figures),
        tuple(_interval(mark, words, rate, 78 + 18 * row) for row, (mark, words, rate) in enumerate(rates)),
    )


def _interval(mark: str, words: str, rate: Rate, y: float) -> Interval:
    low, x, high = (_place(share) for share in (rate.low, rate.value, rate.high))
    return Interval(mark, y, low, x, high, f"{words} {rate_words(rate)}")


def _parts(figures: EvaluationFigures) -> tuple[Part, ...]:
    total, counted, parts = figures.win + figures.tie + figures.lose, 0, []
    for mark, count in (("win", figures.win), ("tie", figures.tie), ("lose", figures.lose)):
        x, width = _place(counted / total), (RIGHT - LEFT) * count / total
        words = f"{mark} {percent(count / total)}"
        fits = next((label for label in (words, mark) if 7.4 * len(label) + 8 < width), "")
        if count:
            parts.append(Part(mark, x, round(width, 1), fits, f"{words}, {count:,} of {total:,}"))
        counted += count
    return tuple(parts)


def _place(share: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share)), 1)
