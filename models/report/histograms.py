"""Histograms of similarities on common bins, as SVG paths in a box of 100 x 100. Knows no colours and no HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.report.axes import MOST_TICKS

Floats = NDArray[np.floating]

_MOST_BINS = 60
_FEWEST_BINS = 16
_BIN_WIDTHS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_TICK_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of the axis; `position` is in percent from the left."""

    label: str
    position: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """One outline, filled down to the bottom, and its median.

    Attributes:
        outline: SVG path data.
        median_position: percent from the left.
    """

    outline: str
    median: float
    median_position: float


@dataclass(frozen=True, slots=True)
class Histograms:
    """Histograms that share the axis, the bins and the height scale: equal heights are equal shares of the pairs."""

    ticks: tuple[Tick, ...]
    by_strategy: Mapping[str, Histogram]


def draw_histograms(similarities: Mapping[str, Floats]) -> Histograms:
    """Draw one histogram a strategy; a strategy without pairs has none.

    Args:
        similarities: strategy -> (n,) cosines, finite; n may be 0 and differ. Beyond ±1 (rounding) counts as ±1.
    """
    values = {name: np.clip(array.astype(np.float64), -1, 1) for name, array in similarities.items() if array.size}
    if not values:
        return Histograms((), {})
    edges = common_edges(np.concatenate(list(values.values())))
    shares = {name: bin_counts(array, edges) / array.size for name, array in values.items()}
    peak = max(float(share.max()) for share in shares.values())
    drawn = {
        name: Histogram(
            _outline(share / peak), float(np.median(values[name])), _percent(np.median(values[name]), edges)
        )
        for name, share in shares.items()
    }
    return Histograms(_ticks(edges), drawn)


def common_edges(values: Floats) -> Floats:
    """Edges (bins + 1,) of equal bins of a round width that hold every value, all within -1 and 1.

    Args:
        values: (n,) within -1 and 1, n >= 1. When all are equal the bins reach out around them.
    """
    low, high = float(values.min()), float(values.max())
    width = next(width for width in _BIN_WIDTHS if (high - low) / width <= _MOST_BINS)
    start, stop = int(np.floor(low / width)), int(np.ceil(high / width))
    limit = round(1 / width)
    bins = max(stop - start, _FEWEST_BINS)
    stop = min(stop + (bins - (stop - start)) // 2, limit)
    start = max(stop - bins, -limit)
    return np.arange(start, max(stop, start + bins) + 1) * width


def bin_counts(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """Count the values in each bin, (bins,) int64; a value that rounding puts outside counts in the outermost bin."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts.astype(np.int64)


def _outline(heights: Floats) -> str:
    lefts = np.linspace(0, 100, len(heights) + 1)
    steps = [f"V{100 - 100 * height:.2f}H{right:.2f}" for height, right in zip(heights, lefts[1:], strict=True)]
    return f"M0 100{''.join(steps)}V100Z"


def _percent(value: float | np.floating, edges: Floats) -> float:
    return round(float(100 * (value - edges[0]) / (edges[-1] - edges[0])), 2)


def _ticks(edges: Floats) -> tuple[Tick, ...]:
    low, high = edges[0], edges[-1]
    step = next(step for step in _TICK_STEPS if (high - low) / step < MOST_TICKS)
    digits = max(1, int(np.ceil(-np.log10(step))))
    multiples = range(int(np.ceil(low / step - 1e-6)), int(np.floor(high / step + 1e-6)) + 1)
    return tuple(
        Tick(f"{multiple * step:.{digits}f}".replace("-", "−"), _percent(multiple * step, edges))
        for multiple in multiples
    )
