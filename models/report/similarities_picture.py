"""The similarities of the selected pairs as a picture of its own: a histogram a strategy. Knows no colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.report.axes import MOST_TICKS, Axis, tight_axis
from models.report.contents import in_order
from models.report.histograms import bin_counts, common_edges
from models.report.plots import Drawing, drawings_svg
from models.report.plots.bars import draw_bars
from models.report.plots.drawing import WIDTH, Frame, Group, Stroke, Words, below, fitted, heading, text_width, x_ticks
from models.report.plots.marks import series_marks
from models.report.templates import cosine
from models.studies.findings import HistogramPlot

MOST_BINS = 60  # of outlines over each other
ROW_HEIGHT = 76.0
TITLE = "How alike the selected pairs are"
NO_PAIRS = "No pair was selected, so there is no similarity to show."
_BAR_TOP, _BAR_BOTTOM = 22.0, 72.0  # of the histogram within its row
_EDGE = 10.0

Floats = NDArray[np.floating]


def similarities_svg(similarities: Mapping[str, Floats]) -> str:
    """The histograms as an SVG document on a sheet of its own: dark where the viewer prefers dark.

    Args:
        similarities: strategy -> (n,) cosines, finite; n may be 0. A strategy without a pair is left out.
    """
    drawing = draw_similarities(similarities)
    return drawings_svg([drawing] if drawing else [], title=TITLE, nothing=NO_PAIRS)


def shares_svg(pictures: Mapping[str, Mapping[str, Mapping[int, int]]], *, width: float) -> str:
    """Histograms over each other as an SVG document: a picture a title, an outline a series.

    Args:
        pictures: title -> series -> bin -> pairs; bin k begins at the cosine −1 + k `width`.
        width: of a bin; where they reach far, neighbouring bins are put together.
    """
    bins = [at for picture in pictures.values() for series in picture.values() for at in series]
    if not bins:
        return drawings_svg([], title=TITLE, nothing=NO_PAIRS)
    together = -(-(max(bins) + 1 - min(bins)) // MOST_BINS)
    first, last = min(bins) // together, max(bins) // together
    edges = tuple(together * width * at - 1 for at in range(first, last + 2))
    names = list(dict.fromkeys(name for picture in pictures.values() for name in picture))
    drawings = []
    for title, picture in pictures.items():
        series = []
        for name, counts in picture.items():
            heights = [0] * (last + 1 - first)
            for at, count in counts.items():
                heights[at // together - first] += count
            series.append((name, tuple(heights)))
        plot = HistogramPlot(title, "cosine of the two responses", "share of the pairs", edges, tuple(series))
        drawings.append(draw_bars(plot, of_all=names))
    return drawings_svg(drawings, title=TITLE, nothing=NO_PAIRS)


def draw_similarities(similarities: Mapping[str, Floats]) -> Drawing | None:
    """One row a strategy on common bins: equal heights are equal shares of its pairs; None without a pair.

    Args:
        similarities: as `similarities_svg`. Beyond ±1 (rounding) counts as ±1.
    """
    names = [name for name in in_order(similarities) if similarities[name].size]
    if not names:
        return None
    values = {name: np.clip(similarities[name].astype(np.float64), -1, 1) for name in names}
    edges = common_edges(np.concatenate(list(values.values())))
    shares = {name: bin_counts(found, edges) / found.size for name, found in values.items()}
    peak = max(float(share.max()) for share in shares.values())
    head = heading(TITLE)
    top = below([head]) + 2
    frame = Frame(_EDGE, WIDTH - _EDGE, top, top + ROW_HEIGHT * len(names))
    x = tight_axis(edges.tolist(), start=frame.left, stop=frame.right, most_ticks=MOST_TICKS)
    title = "cosine of the two responses; line: the median"
    groups = [head, x_ticks(x, frame, title, is_grid=True)]
    for row, (name, mark) in enumerate(zip(names, series_marks(names), strict=True)):
        heights = shares[name] / peak
        groups.append(_row(name, mark.name, values[name], _outline(heights, edges, x, top + ROW_HEIGHT * row), x))
    return Drawing(TITLE, below(groups) + 2, tuple(groups))


def _row(name: str, mark: str, values: Floats, outline: tuple[str, float], x: Axis) -> Group:
    path, top = outline
    median = float(np.median(values))
    figures = f"median {cosine(median)}, {values.size:,} {'pair' if values.size == 1 else 'pairs'}"
    words = (
        Words(fitted(name, WIDTH - text_width(figures, "value") - 12), 0, top + 14, "label"),
        Words(figures, WIDTH, top + 14, "value", "end"),
    )
    line = Stroke(f"M{x.place(median)} {top + _BAR_TOP:.1f}V{top + _BAR_BOTTOM:.1f}", "median")
    return Group((Stroke(path, "filled"), line), words, mark, f"{name}: {figures}")


def _outline(heights: Floats, edges: Floats, x: Axis, top: float) -> tuple[str, float]:
    """The path of a row's histogram, and where the row begins."""
    bottom = top + _BAR_BOTTOM
    steps = "".join(
        f"V{bottom - (_BAR_BOTTOM - _BAR_TOP) * height:.1f}H{x.place(float(edge))}"
        for height, edge in zip(heights, edges[1:], strict=True)
    )
    return f"M{x.place(float(edges[0]))} {bottom:.1f}{steps}V{bottom:.1f}Z", top
