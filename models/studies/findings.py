"""What a study found, as its report says it: an answer, sections of words, tables and plots. Knows no HTML."""

from __future__ import annotations

from dataclasses import dataclass

from models.intervals import Interval


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text. The first `text_columns` columns hold words, the others numbers; `note` stands below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of a plot: (x, interval) by rising x; an interval of equal bounds has no band."""

    name: str
    points: tuple[tuple[float, Interval], ...]


@dataclass(frozen=True, slots=True)
class LinePlot:
    """Lines over a common axis; `x_title` and `y_title` have units. `reference`: a level to compare with, if any."""

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    caption: str = ""
    is_x_logarithmic: bool = False
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Values with intervals, a row each; `reference`: the value of no difference (0, or 1 of a ratio)."""

    title: str
    x_title: str
    rows: tuple[tuple[str, Interval], ...]
    caption: str = ""
    is_x_logarithmic: bool = False
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class HistogramPlot:
    """Shares by bins that all series share: `edges` (n + 1,), of each series its name and n counts."""

    title: str
    x_title: str
    y_title: str
    edges: tuple[float, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class FieldPlot:
    """A plane of two shares with arrows: (x, y, dx, dy), the lengths as they are drawn relative to the longest."""

    title: str
    x_title: str
    y_title: str
    arrows: tuple[tuple[float, float, float, float], ...]
    caption: str = ""


Plot = LinePlot | IntervalPlot | HistogramPlot | FieldPlot


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: words first, then plots, then tables."""

    title: str
    paragraphs: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What a study found.

    Attributes:
        question: what was asked, one sentence.
        answer: what the figures say, one to three sentences; never more than the intervals allow.
        sections: the figures, most important first.
        sizes: what it rests on, as (name, value): prompts, labels, seeds, arms tried, comparisons corrected for.
    """

    question: str
    answer: str
    sections: tuple[Section, ...]
    sizes: tuple[tuple[str, str], ...] = ()
