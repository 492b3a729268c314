"""Curves along training and histograms on shared bins: panels of SVG. Knows no colours; policy.css has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise

import numpy as np

from models.alignment.records import MetricPoint
from models.evaluation.measurements import Drift
from models.report.axes import LARGEST, LETTER_WIDTH, MOST_TICKS, digits, round_axis, step_axis
from models.report.templates import make_environment

WIDTH, HEIGHT = 460, 280  # SVG units, about one CSS pixel on a wide screen
LEFT, RIGHT, TOP, BOTTOM = 56, 434, 52, 236
_MOST_DOTS = 16  # above, dots hide the line
NO_CURVES = "No metric was measured along training yet."

# Title; then split, metric, mark (its colour and dashes, in policy.css) and label of each line. A method's own loss is
# another quantity than REAL eq. 11, so the two never share a panel.
CURVES: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "Margin of rewards, nats (REAL eq. 10)",
        (("train", "margin", "train", "train, own reward"), ("held_out", "margin", "held-out", "held out")),
    ),
    ("Loss, nats (REAL eq. 11)", (("held_out", "loss", "held-out", "held out"),)),
    (
        "Reward accuracy: share with margin > 0",
        (("train", "accuracy", "train", "train, own reward"), ("held_out", "accuracy", "held-out", "held out")),
    ),
    (
        "The method’s own objective",
        (("train", "loss", "train", "train"), ("held_out", "objective", "held-out", "held out")),
    ),
    (
        "Log-probability of held-out responses, nats",
        (("held_out", "rejected_logps", "rejected", "rejected"), ("held_out", "chosen_logps", "chosen", "chosen")),
    ),
    ("KL(reference ‖ policy), nats a response", (("held_out", "kl", "held-out", "held out"),)),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line or filled outline; `places` are its (x, y), `key_x` is where the legend names it."""

    label: str
    mark: str
    path: str
    places: tuple[tuple[float, float], ...]
    is_filled: bool
    key_x: float
    title: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with two axes; ticks are (label, place)."""

    title: str
    x_label: str
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]
    series: tuple[Series, ...]

    @property
    def has_dots(self) -> bool:
        """Whether the values are few enough to be marked one by one."""
        return all(len(line.places) <= _MOST_DOTS and not line.is_filled for line in self.series)


def curves_svg(points: Sequence[MetricPoint]) -> str:
    """The curves as an SVG document of its own, on a sheet of its own: dark where the viewer prefers dark.

    Without any finite value it says so in words.
    """
    return (
        make_environment()
        .get_template("curves_sheet.html")
        .render(panels=draw_curves(points), size=(WIDTH, HEIGHT), nothing=NO_CURVES)
    )


def draw_curves(points: Sequence[MetricPoint]) -> tuple[Panel, ...]:
    """One panel a question about the training (REAL fig. 4); one without a finite value is left out.

    A value that is not finite interrupts its line. All panels share the axis of steps.
    """
    values: dict[tuple[str, str], dict[int, float]] = {}
    for point in sorted(points, key=lambda point: point.step):
        values.setdefault((point.split, point.name), {})[point.step] = point.value
    last_step = max((point.step for point in points), default=0)
    panels = (
        _curve_panel(
            title, [(mark, label, values.get((split, name), {})) for split, name, mark, label in lines], last_step
        )
        for title, lines in CURVES
    )
    return tuple(panel for panel in panels if panel)


def unfinished_count(points: Sequence[MetricPoint]) -> int:
    """The values that no curve shows since they are not finite (or beyond 1e100)."""
    return sum(not _is_drawable(point.value) for point in points)


def last_value(points: Sequence[MetricPoint], name: str) -> float | None:
    """The newest finite held-out value of a metric, None where there is none."""
    points_of_metric = [
        point for point in points if (point.split, point.name) == ("held_out", name) and math.isfinite(point.value)
    ]
    return max(points_of_metric, key=lambda point: point.step).value if points_of_metric else None


def draw_drift(title: str, drift: Drift) -> Panel | None:
    """The pairs' cosines under both models on shared bins; None without a pair."""
    if not drift.pair_count:
        return None
    heights = {"base": drift.base_counts, "policy": drift.policy_counts}
    shares = {label: [count / drift.pair_count for count in counts] for label, counts in heights.items()}
    return _histogram_panel(title, "cosine of two responses to one prompt", drift.similarity_edges, shares)


def draw_latent_distances(distances: Mapping[int, Sequence[float]]) -> Panel | None:
    """The latent distances of every round on shared bins, as shares of the round's; None without a finite one.

    At most the newest three rounds are shown: more outlines cannot be told apart.
    """
    finite = {
        number: [distance for distance in round_distances if _is_drawable(distance)]
        for number, round_distances in sorted(distances.items())
    }
    shown_rounds = {
        f"round {number}": finite_distances
        for number, finite_distances in list(finite.items())[-3:]
        if finite_distances
    }
    if not shown_rounds:
        return None
    edges = np.histogram_bin_edges(np.concatenate(list(shown_rounds.values())), 30)
    shares = {
        label: (np.histogram(finite_distances, edges)[0] / len(finite_distances)).tolist()
        for label, finite_distances in shown_rounds.items()
    }
    return _histogram_panel("Latent distances, share of responses", "latent distance", edges.tolist(), shares)


def _curve_panel(title: str, lines: Sequence[tuple[str, str, dict[int, float]]], last_step: int) -> Panel | None:
    drawable = [value for _, _, by_step in lines for value in by_step.values() if _is_drawable(value)]
    if not drawable:
        return None
    x = step_axis(last_step, start=LEFT, stop=RIGHT, most_ticks=MOST_TICKS)
    y = round_axis(drawable, start=BOTTOM, stop=TOP, most_ticks=MOST_TICKS)
    series, key_x = [], float(LEFT)
    for mark, label, by_step in lines:
        runs = [list(run) for is_drawn, run in groupby(by_step.items(), lambda item: _is_drawable(item[1])) if is_drawn]
        places = [[(x.place(step), y.place(value)) for step, value in run] for run in runs]
        if places:
            title_words = f"{label}: {digits(runs[0][0][1])} at step {runs[0][0][0]:,}, {digits(runs[-1][-1][1])} at "
            title_words += f"step {runs[-1][-1][0]:,}"
            path = "".join(_line(run) for run in places)
            series.append(Series(label, mark, path, tuple(chain.from_iterable(places)), False, key_x, title_words))
            key_x += 48 + LETTER_WIDTH * len(label)
    return Panel(title, "optimizer steps", x.ticks, y.ticks, tuple(series))


def _line(places: Sequence[tuple[float, float]]) -> str:
    # The step of no length first shows a single point where the line has round ends.
    first_place, *other_places = (f"{x} {y}" for x, y in places)
    return f"M{first_place}h0" + "".join(f"L{place}" for place in other_places)


def _histogram_panel(title: str, x_label: str, edges: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Panel:
    x = round_axis(edges, start=LEFT, stop=RIGHT, most_ticks=MOST_TICKS)
    peak = max(max(round_shares) for round_shares in shares.values())
    y = round_axis([0, 100 * peak], start=BOTTOM, stop=TOP, most_ticks=5)
    series, key_x = [], float(LEFT)
    for position, (label, heights) in enumerate(shares.items()):
        tops = [y.place(100 * height) for height in heights]
        places = [(x.place(edge), top) for both, top in zip(pairwise(edges), tops, strict=True) for edge in both]
        outline = "".join(f"L{place} {top}" for place, top in places)
        path = f"M{x.place(edges[0])} {BOTTOM}{outline}L{x.place(edges[-1])} {BOTTOM}Z"
        mark = label if label in ("base", "policy") else f"round-{position}"
        series.append(Series(label, mark, path, tuple(places), True, key_x, label))
        key_x += 48 + LETTER_WIDTH * len(label)
    y_ticks = tuple((f"{label} %", place) for label, place in y.ticks)
    return Panel(title, x_label, x.ticks, y_ticks, tuple(series))


def _is_drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= LARGEST
