"""Plots of every kind, ordinary and odd, and what is read from their drawings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

from models.intervals import Interval
from models.report.plots import Drawing
from models.report.plots.drawing import Words
from models.report.study_page import StudyReport
from models.studies.findings import FieldPlot, Findings, HistogramPlot, IntervalPlot, Line, LinePlot, Plot, Section

LETTER_HEIGHT = 12.0
ARMS = (
    "easy",
    "random",
    "centroid",
    "hard",
    "longest_gap",
    "closest_lengths_easy",
    "max_min_lcb",
    "a strategy of one’s own with a name that hardly ever seems to come to its end",
    "plugin:<b>&\"'",
    "最相似的回答由用户自己的策略选出而且名称非常长到无法在一行中显示完整的内容",
)
LONG = "A title with <i>marks & signs</i> that is so long that it takes more than one line of a picture’s heading"


def line(name: str, first: float, *places: float) -> Line:
    """A rising line with intervals of ± 0.03."""
    at = places or (50.0, 100.0, 200.0, 400.0)
    values = [(place, first + 0.02 * number) for number, place in enumerate(at)]
    return Line(name, tuple((place, Interval(value, value - 0.03, value + 0.03)) for place, value in values))


def exactly(value: float) -> Interval:
    """A value without an interval."""
    return Interval(value, value, value)


LINES = LinePlot("Held-out accuracy", "labels", "share of pairs", (line("easy", 0.6), line("random", 0.58)), "Why.")
TEN_LINES = LinePlot(
    LONG, LONG, LONG, tuple(line(name, 0.4 + 0.03 * at) for at, name in enumerate(ARMS)), LONG, True, 0.5
)
BROKEN_LINE = LinePlot(
    "Broken",
    "labels",
    "accuracy",
    (Line("one", ((1, Interval(0.5, -math.inf, math.inf)), (2, exactly(math.nan)), (3, exactly(0.7)))),),
)
ROWS = IntervalPlot(
    "Saving",
    "labels of random ÷ labels of the strategy",
    (("easy", Interval(2.4, 1.5, 3.9)), ("hard", Interval(0.06, 0.03, 0.1)), ("other", Interval(1.1, 0.0, math.inf))),
    is_x_logarithmic=True,
    reference=1,
)
MANY_ROWS = IntervalPlot(
    LONG,
    LONG,
    tuple((f"{number} {ARMS[number % 10]}", Interval(number - 9.5, number - 12, number - 8)) for number in range(24)),
    LONG,
    reference=0,
)
BARS = HistogramPlot(
    "Cosines", "cosine", "share of pairs", (-0.5, 0.0, 0.5, 1.0), (("easy", (3, 1, 0)), ("hard", (0, 1, 9)))
)
FIELD = FieldPlot("Field", "p(chosen)", "p(rejected)", ((0.1, 0.1, 0.5, -0.5), (0.9, 0.9, 0.1, 0.0), (0.5, 0.5, 0, 0)))
PLOTS: tuple[Plot, ...] = (LINES, TEN_LINES, BROKEN_LINE, ROWS, MANY_ROWS, BARS, FIELD)


STUDY = StudyReport(
    run_id=1,
    study="pilot",
    name="demo",
    command="antipode study pilot",
    findings=Findings("Does it help?", "Cannot tell.", (Section("All", plots=PLOTS),)),
    failures=(),
    facts=(),
    trial_count=0,
    seconds=0,
)


def all_words(drawing: Drawing) -> Iterator[Words]:
    """Every piece of text of a drawing."""
    return (words for group in drawing.groups for words in group.words)


def titles(drawing: Drawing) -> list[str]:
    """What a pointer is told, by group."""
    return [group.title for group in drawing.groups if group.title]


def paths(drawing: Drawing, kind: str) -> list[str]:
    """The path data of all strokes of a kind."""
    return [stroke.path for group in drawing.groups for stroke in group.strokes if stroke.kind == kind]


def check_words(drawing: Drawing) -> None:
    """No text reaches beyond the picture or stands on another."""
    words = list(all_words(drawing))
    for each in words:
        start, stop = each.box
        assert start >= -0.1 and stop <= drawing.width + 0.1, each
        assert 0 < each.y <= drawing.height, each
    for one, other in combinations(words, 2):
        is_beside = one.box[1] <= other.box[0] + 0.1 or other.box[1] <= one.box[0] + 0.1
        assert is_beside or abs(one.y - other.y) >= LETTER_HEIGHT, (one, other)
