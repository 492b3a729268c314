"""Means, shares and ratios with 95 % intervals that know which values belong to one prompt; numpy and scipy only.

Several pairs of one prompt are no independent evidence: intervals are robust to clusters, and a cluster is a prompt.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95  # as in every interval the project reports
# Nats: what float32 makes of the same sums in two batches. A margin that small is none.
ROUNDING = 1e-4

_Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A value and the bounds of its confidence interval, low ≤ value ≤ high."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Value and bounds, each by `spec`: "0.52 [0.48, 0.56]"; words where too few values leave no bounds."""
        sign = spec[:1] if spec[:1] in {"+", "-", " "} else ""
        value, low, high = (f"{number:{sign}z{spec[len(sign) :]}}".replace("-", "−") for number in self)
        return f"{value} [{low}, {high}]" if self.is_bounded else f"{value} [no interval]"

    @property
    def is_bounded(self) -> bool:
        """Whether the values were enough for bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, least: float, most: float) -> Interval:
        """The bounds cut to what the quantity can be: a share lies in [0, 1]; one without bounds stays so."""
        return Interval(self.value, max(self.low, least), min(self.high, most)) if self.is_bounded else self


def clustered_mean(values: ArrayLike, clusters: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """The mean of `values` (n,) with a cluster-robust t interval (Liang and Zeger 1986; G − 1 degrees of freedom).

    Every value counts the same, `clusters` (n,) name each value's prompt. The bounds of a single cluster are infinite.

    Raises:
        ValueError: if there are no values, they are not finite, or the lengths differ.
    """
    numbers, groups = checked(values, clusters)
    return ratio(numbers, np.ones(len(numbers)), groups, confidence=confidence)


def prompt_mean(values: ArrayLike, clusters: ArrayLike) -> Interval:
    """The mean over prompts of each prompt's mean of `values` (n,), with the t interval of those means.

    Every prompt counts the same, however many values it has. The bounds of a single prompt are infinite.

    Raises:
        ValueError: as `clustered_mean`.
    """
    means = prompt_means(*checked(values, clusters))
    return clustered_mean(means, np.arange(len(means)))


def share(values: ArrayLike, clusters: ArrayLike) -> Interval:
    """The mean over prompts of each prompt's mean of `values` (n,) in [0, 1]; every prompt counts the same.

    The interval is that of the prompts' means with two successes and two failures as four further prompts (the idea of
    Agresti and Coull 1998), cut to [0, 1]: 10 prompts of 10 are no proof of 100 %, and the interval says so.

    Raises:
        ValueError: as `clustered_mean`, and if a value lies outside [0, 1].
    """
    numbers, groups = checked(values, clusters)
    if numbers.min() < 0 or numbers.max() > 1:
        raise ValueError(f"a share is made of values in [0, 1], got {numbers.min():g} to {numbers.max():g}")
    means = prompt_means(numbers, groups)
    widened = np.append(means, (1.0, 1.0, 0.0, 0.0))
    _, low, high = clustered_mean(widened, np.arange(len(widened)))
    value = float(means.mean())
    return Interval(value, max(0.0, min(low, value)), min(1.0, max(high, value)))


def share_at(share_95: Interval, prompt_count: int, *, confidence: float) -> Interval:
    """The interval that `share` gives the same values at another `confidence`, no lower than its own.

    It follows from the stored 95 % one: the bound on the side of one half is cut only where the wider one is too.
    """
    value, low, high = share_95
    middle = (prompt_count * value + 2) / (prompt_count + 4)
    half = middle - low if value >= 0.5 else high - middle
    half *= t_quantile(confidence, prompt_count + 3) / t_quantile(CONFIDENCE, prompt_count + 3)
    return Interval(value, max(0.0, min(middle - half, value)), min(1.0, max(middle + half, value)))


def t_quantile(confidence: float, degrees_of_freedom: int) -> float:
    """The t with P(|T| ≤ t) = `confidence` for Student's T."""
    from scipy.special import stdtrit  # slow to load, and who only reads intervals needs none

    return float(stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def prompt_means(values: _Floats, groups: NDArray[np.intp]) -> _Floats:
    """Each prompt's mean; `groups` number the prompts from 0."""
    return np.bincount(groups, values) / np.bincount(groups)


def ratio(numerators: _Floats, denominators: _Floats, groups: NDArray[np.intp], *, confidence: float) -> Interval:
    """Σ numerators / Σ denominators with the linearised cluster-robust t interval."""
    total = float(denominators.sum())
    value = float(numerators.sum()) / total
    residuals = np.bincount(groups, numerators - value * denominators)
    count = len(residuals)
    if count == 1:
        return Interval(value, -math.inf, math.inf)
    deviation = math.sqrt(count / (count - 1) * float(residuals @ residuals)) / total
    half = t_quantile(confidence, count - 1) * deviation
    return Interval(value, value - half, value + half)


def checked(values: ArrayLike, clusters: ArrayLike) -> tuple[_Floats, NDArray[np.intp]]:
    """The values as float64 and their clusters numbered from 0."""
    numbers, names = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if numbers.ndim != 1 or numbers.shape != names.shape or not len(numbers):
        raise ValueError(
            f"expected as many values as clusters, at least one, got shapes {numbers.shape} and {names.shape}"
        )
    if broken := int((~np.isfinite(numbers)).sum()):
        raise ValueError(f"expected finite values, {broken} of {len(numbers)} are not; the policy may have diverged")
    return numbers, np.unique(names, return_inverse=True)[1]
