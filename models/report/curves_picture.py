"""Curves along training, and histograms on shared bins, as drawings: which values stand in which. Knows no colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from models.alignment.records import MetricPoint
from models.evaluation.measurements import Drift
from models.intervals import Interval
from models.report.axes import is_drawable
from models.report.plots import Drawing, draw_plot, drawings_svg
from models.report.plots.lines import draw_lines
from models.studies.findings import HistogramPlot, Line, LinePlot

MOST_POINTS = 200  # a line: more are less than three units apart, and a picture is to stay below 100 kB
NO_CURVES = "No metric was measured along training yet."

# Title and unit; then split, metric and label of each line. A method's own loss is another quantity than REAL eq. 11,
# so the two never share a picture.
CURVES: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Margin of rewards (REAL eq. 10)",
        "nats",
        (("held_out", "margin", "held out"), ("train", "margin", "train, own reward")),
    ),
    ("Loss (REAL eq. 11)", "nats", (("held_out", "loss", "held out"),)),
    (
        "Reward accuracy",
        "share of preferences with margin > 0",
        (("held_out", "accuracy", "held out"), ("train", "accuracy", "train, own reward")),
    ),
    (
        "The method’s own objective",
        "nats",
        (("held_out", "objective", "held out"), ("train", "loss", "train")),
    ),
    (
        "Log-probability of held-out responses",
        "nats a response",
        (("held_out", "chosen_logps", "chosen"), ("held_out", "rejected_logps", "rejected")),
    ),
    ("KL(reference ‖ policy)", "nats a response", (("held_out", "kl", "held out"),)),
)

_OWN = {("held_out", "objective"), ("train", "loss")}  # the method's own


def curves_svg(points: Sequence[MetricPoint]) -> str:
    """The curves as an SVG document of its own, on a sheet of its own: dark where the viewer prefers dark.

    Without any finite value it says so in words.
    """
    return drawings_svg(draw_curves(points), title="Metrics along training", nothing=NO_CURVES)


def draw_curves(points: Sequence[MetricPoint]) -> tuple[Drawing, ...]:
    """One picture a question about the training (REAL fig. 4); one without a finite value is left out.

    A value that is not finite interrupts its line. All pictures share the axis of steps.
    """
    values: dict[tuple[str, str], dict[int, float]] = {}
    for point in sorted(points, key=lambda point: point.step):
        values.setdefault((point.split, point.name), {})[point.step] = point.value
    last_step = max((point.step for point in points), default=0)
    drawings = []
    for title, unit, lines in CURVES:
        by_label = {label: values.get((split, name), {}) for split, name, label in lines}
        if any(is_drawable(value) for by_step in by_label.values() for value in by_step.values()):
            drawn = tuple(_line(label, by_step) for label, by_step in by_label.items() if by_step)
            plot = LinePlot(title, "optimizer steps", unit, drawn)
            drawings.append(draw_lines(plot, last_step=last_step))
    return tuple(drawings)


def compared_curves_svg(points: Mapping[str, Sequence[MetricPoint]]) -> str:
    """What was measured along several trainings, by their names, as an SVG document: a picture a metric, a line each.

    Methods' own objectives are left out: those of two methods are different quantities.
    """
    drawings = []
    last_step = max((point.step for of_one in points.values() for point in of_one), default=0)
    for title, unit, metrics in CURVES:
        for split, metric, label in metrics:
            by_name = {name: _values(of_one, split, metric) for name, of_one in points.items()}
            if (split, metric) in _OWN or not any(map(is_drawable, _all_values(by_name))):
                continue
            lines = tuple(_line(name, by_step) for name, by_step in by_name.items() if by_step)
            plot = LinePlot(f"{title}, {label}", "optimizer steps", unit, lines)
            drawings.append(draw_lines(plot, last_step=last_step, of_all=list(points)))
    return drawings_svg(drawings, title="Metrics along training", nothing=NO_CURVES)


def thinned(points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Every n-th point of each line and its last one, some 200 a line at most: a picture shows no more."""
    thin = []
    ordered = sorted(points, key=lambda point: (point.split, point.name, point.step))
    for _, group in groupby(ordered, key=lambda point: (point.split, point.name)):
        line = list(group)
        thin += [*line[: -1 : -(-len(line) // MOST_POINTS)], line[-1]]
    return thin


def unfinished_count(points: Sequence[MetricPoint]) -> int:
    """The values that no curve shows since they are not finite (or beyond 1e100)."""
    return sum(not is_drawable(point.value) for point in points)


def last_value(points: Sequence[MetricPoint], name: str) -> float | None:
    """The newest finite held-out value of a metric, None where there is none."""
    points_of_metric = [
        point for point in points if (point.split, point.name) == ("held_out", name) and math.isfinite(point.value)
    ]
    return max(points_of_metric, key=lambda point: point.step).value if points_of_metric else None


def draw_drift(title: str, drift: Drift) -> Drawing | None:
    """The pairs' cosines under both models on shared bins; None without a pair."""
    if not drift.pair_count:
        return None
    series = (("policy", tuple(drift.policy_counts)), ("base", tuple(drift.base_counts)))
    plot = HistogramPlot(
        title, "cosine of two responses to one prompt", "share of pairs", tuple(drift.similarity_edges), series
    )
    return draw_plot(plot)


def draw_latent_distances(distances: Mapping[int, Sequence[float]]) -> Drawing | None:
    """The latent distances of every round on shared bins, as shares of the round's; None without a finite one.

    At most the newest three rounds are shown: more outlines cannot be told apart.
    """
    finite = {
        f"round {number}": kept
        for number, of_round in sorted(distances.items())
        if (kept := [distance for distance in of_round if is_drawable(distance)])
    }
    shown = dict(list(finite.items())[-3:])
    if not shown:
        return None
    edges = np.histogram_bin_edges(np.concatenate(list(shown.values())), 30)
    series = tuple((name, tuple(np.histogram(kept, edges)[0].tolist())) for name, kept in shown.items())
    plot = HistogramPlot(
        "Latent distances", "distance of a response’s latent from the golden one’s", "share of the round’s responses",
        tuple(edges.tolist()), series,
    )  # fmt: skip
    return draw_plot(plot)


def _values(points: Sequence[MetricPoint], split: str, metric: str) -> dict[int, float]:
    return {point.step: point.value for point in points if (point.split, point.name) == (split, metric)}


def _all_values(by_name: Mapping[str, Mapping[int, float]]) -> Iterator[float]:
    return (value for by_step in by_name.values() for value in by_step.values())


def _line(label: str, by_step: Mapping[int, float]) -> Line:
    return Line(label, tuple((step, Interval(value, value, value)) for step, value in by_step.items()))
