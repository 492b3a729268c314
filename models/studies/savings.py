"""Savings: how many labels random needs for the quality that a strategy reaches with fewer, and how sure that is.

The saving at a budget of B labels is B ÷ n, where n labels of the strategy give the quality that random reaches with B.
Between the numbers of labels that were tried quality is taken to go straight in the logarithm of labels; beyond them
nothing is said but that the saving is at least, or at most, what the last one tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.intervals import CONFIDENCE, Interval
from models.studies.comparing import Crossed, Values, crossed, paired

_EQUAL = 1e-9  # qualities this near are equal: a mean of means rounds
_STEPS = 16  # between two numbers of labels that were tried; a bound is exact to a sixteenth of the step


class Saving(NamedTuple):
    """A saving against random, bounded by what was tried.

    Attributes:
        budget: labels of random.
        interval: 95 %, as if it had been the only one.
        corrected: so wide that all that were made together hold at once in 95 %.
        least: budget ÷ the most labels that were tried: a bound of this value means "or less".
        most: budget ÷ the fewest labels that were tried: a bound of this value means "or more".
    """

    budget: int
    interval: Interval
    corrected: Interval
    least: float
    most: float

    @property
    def words(self) -> str:
        """The saving with its 95 % interval: "1.35 [0.98, 2.11]", "≥ 4.0 [1.20, ≥ 4.0]"."""
        value, low, high = (self._told(bound) for bound in self.interval)
        return f"{value} [{low}, {high}]"

    @property
    def value_words(self) -> str:
        """The saving alone."""
        return self._told(self.interval.value)

    def _told(self, value: float) -> str:
        sign = "≥ " if value >= self.most else "≤ " if value <= self.least else ""
        return f"{sign}{value:.2f}"


def saving(one: ArrayLike, other: ArrayLike, counts: Sequence[int], budget: int, *, tried: int = 1) -> Saving:
    """The saving of `one` against `other` (random) at a budget.

    The value reads both mean curves, made to rise (isotonic regression); where that of `one` is flat at the quality
    that is looked for, it is the number of labels nearest the budget: equal curves save nothing. The interval holds
    every saving r that the data do not refuse: those for which the paired difference of `one` with B ÷ r labels and
    `other` with B has an interval around 0 (Fieller 1954). It has thus the coverage of `crossed`, with few seeds too,
    where a bootstrap of seeds has none.

    Args:
        one: (counts, seeds, prompts) of any figure that is better when larger; NaN where not measured.
        other: the same of random.
        counts: numbers of labels, rising.
        budget: one of them.
        tried: how many savings are made together.

    Raises:
        ValueError: if shapes differ or do not fit the counts, counts do not rise, or the budget is none of them.
    """
    curve, baseline = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    labels = np.asarray(counts, dtype=np.float64)
    if curve.ndim != 3 or curve.shape != baseline.shape or len(curve) != len(labels):
        raise ValueError(
            f"expected two arrays ({len(labels)} counts, seeds, prompts), got {curve.shape} and {baseline.shape}"
        )
    if len(labels) < 2 or (np.diff(labels) <= 0).any() or labels[0] <= 0:
        raise ValueError(f"a saving takes two or more rising numbers of labels, got {list(counts)}")
    if budget not in counts:
        raise ValueError(f"the budget is one of the numbers of labels {list(counts)}, got {budget}")
    at = list(counts).index(budget)
    value = budget / _labels_for(_rising(curve), _rising(baseline)[at], labels, budget)
    confidences = CONFIDENCE, 1 - (1 - CONFIDENCE) / tried
    grid, found = _differences(curve, baseline[at], labels)
    own, corrected = (_bounds(grid, found, confidence, value, budget) for confidence in confidences)
    return Saving(budget, own, corrected, budget / labels[-1], budget / labels[0])


def savings(
    arms: Mapping[str, ArrayLike], baseline: ArrayLike, counts: Sequence[int], budgets: Sequence[int]
) -> dict[tuple[str, int], Saving]:
    """The saving of each arm at each budget, (counts, seeds, prompts) each, corrected for how many these are.

    Raises:
        ValueError: as `saving`.
    """
    tried = len(arms) * len(budgets)
    return {
        (arm, budget): saving(values, baseline, counts, budget, tried=tried)
        for arm, values in arms.items()
        for budget in budgets
    }


def worth_of_more(baseline: ArrayLike, counts: Sequence[int], times: float) -> float:
    """What `times` as many labels add to random's quality, on average over what was tried; negative if it falls.

    The slope of the mean curve over the logarithm of labels, by least squares: two neighbouring points are too near
    to tell one.

    Args:
        baseline: (counts, seeds, prompts) of random.
        counts: two or more numbers of labels, rising.
        times: above 1.
    """
    means = _means(np.asarray(baseline, dtype=np.float64))
    logs = np.log(np.asarray(counts, dtype=np.float64))
    logs -= logs.mean()
    return float(logs @ means / (logs @ logs) * np.log(times))


def _rising(values: Values) -> Values:
    """(counts,) the mean curve, made to rise."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(_means(values)).x, dtype=np.float64)


def _means(values: Values) -> Values:
    """(counts,) the mean of what was measured."""
    return np.asarray(np.nanmean(values.reshape(len(values), -1), axis=1), dtype=np.float64)


def _labels_for(curve: Values, quality: float, labels: Values, budget: int) -> float:
    """The number of labels, nearest the budget, at which a rising curve has this quality; the first or last beyond."""
    if quality > curve[-1] + _EQUAL:
        return float(labels[-1])
    if quality < curve[0] - _EQUAL:
        return float(labels[0])
    logs = np.log(labels)
    first = int(np.searchsorted(curve, quality - _EQUAL, side="left"))
    last = int(np.searchsorted(curve, quality + _EQUAL, side="right")) - 1
    if first <= last:
        return float(np.clip(budget, labels[first], labels[last]))
    part = (quality - curve[last]) / (curve[first] - curve[last])
    return float(np.exp(logs[last] + part * (logs[first] - logs[last])))


def _differences(curve: Values, quality: Values, labels: Values) -> tuple[Values, list[Crossed]]:
    """Numbers of labels, close together, and how the curve there differs from random's quality (seeds, prompts)."""
    places = np.linspace(0, len(labels) - 1, (len(labels) - 1) * _STEPS + 1)
    grid, found = np.exp(np.interp(places, np.arange(len(labels)), np.log(labels))), []
    for place in places:
        low = min(int(place), len(labels) - 2)
        part = place - low
        between = (1 - part) * curve[low] + part * curve[low + 1] if 0 < part < 1 else curve[low + round(part)]
        found.append(crossed(paired(between, quality)))
    return grid, found


def _bounds(grid: Values, found: list[Crossed], confidence: float, value: float, budget: int) -> Interval:
    """The savings that are not refused; where the outermost is the first or last that was tried, there is no bound."""
    intervals = [each.interval(confidence) for each in found]
    is_possible = np.array([low <= 0 <= high for _, low, high in intervals])
    if not is_possible.any():
        return Interval(value, value, value)
    possible = np.flatnonzero(is_possible)
    fewest, most = grid[max(possible[0] - 1, 0)], grid[min(possible[-1] + 1, len(grid) - 1)]
    return Interval(value, min(value, budget / most), max(value, budget / fewest))
