"""Means and paired differences of arms that were tried under several seeds on the same held-out prompts.

Values are (seeds, prompts), NaN where nothing was measured. Both are random: another seed is another draw of training
prompts, of their order and of the labels' noise, and other prompts might have been held out. An interval therefore
speaks of new labellings of prompts out of the same training pool, measured on new prompts like those held out. It does
not speak of another pool: where the labels use most of the pool's prompts, seeds differ by pairs and noise alone.
A strategy that draws nothing then labels the same pairs under every seed, and what luck is in these is in no interval:
budgets well below half of the training prompts keep it small (docs/decisions/0043 has how often intervals hold).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.intervals import CONFIDENCE, Interval, t_quantile

Values = NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)


class Crossed(NamedTuple):
    """A mean over seeds and prompts with its uncertainty.

    Attributes:
        mean: every measured value counts the same.
        variance: of the mean, with seeds and prompts both random.
        of_seeds: the variance with seeds alone random.
        of_prompts: the variance with prompts alone random.
        degrees: of freedom, the smaller count of seeds and prompts less one; 0 says nothing of the variance.
    """

    mean: float
    variance: float
    of_seeds: float
    of_prompts: float
    degrees: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The t interval; its bounds are infinite where there is one seed or one prompt."""
        if not self.degrees:
            return Interval(self.mean, -math.inf, math.inf)
        half = t_quantile(confidence, self.degrees) * math.sqrt(self.variance)
        return Interval(self.mean, self.mean - half, self.mean + half)

    @property
    def p_value(self) -> float:
        """Two-sided, of a mean of 0; 1 where there is one seed or one prompt."""
        from scipy.special import stdtr  # slow to load, and who only reads intervals needs none

        if not self.degrees or self.mean == 0:
            return 1.0
        if not self.variance:
            return 0.0
        return float(2 * stdtr(self.degrees, -abs(self.mean) / math.sqrt(self.variance)))


class Compared(NamedTuple):
    """One comparison of a family that was corrected together.

    Attributes:
        interval: of the difference, 95 %, as if it had been the only one.
        corrected: of the difference, so wide that all intervals of the family hold at once in 95 % (Bonferroni).
        p_value: two-sided, of no difference.
        corrected_p: the same by Holm's steps: below 0.05 the difference stands, however many were tried.
    """

    interval: Interval
    corrected: Interval
    p_value: float
    corrected_p: float

    @property
    def is_more(self) -> bool:
        """Whether the first is surely larger than the second, after correction."""
        return self.corrected_p < 1 - CONFIDENCE and self.interval.value > 0

    @property
    def is_less(self) -> bool:
        """Whether the first is surely smaller than the second, after correction."""
        return self.corrected_p < 1 - CONFIDENCE and self.interval.value < 0


def crossed(values: ArrayLike) -> Crossed:
    """The mean of (seeds, prompts) with the variance of two-way clusters.

    V = V_seeds + V_prompts − V_cells (Cameron, Gelbach and Miller 2011, eq. 2.11), the first two of a cluster's summed
    residuals times clusters / (clusters − 1), and never below the larger of the two: the difference can fall below by
    chance. V_cells is of what is left of the residuals beside seeds and prompts. Theirs, of the whole residuals,
    would take a fifth of the prompts' variance away with five seeds; ours is unbiased where every cell is measured.
    NaN is left out.

    Raises:
        ValueError: if values are not (seeds, prompts), none is measured, or one is infinite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2:
        raise ValueError(f"expected values of (seeds, prompts), got shape {numbers.shape}")
    if np.isinf(numbers).any():
        raise ValueError("values must be finite, or NaN where nothing was measured; some are infinite")
    is_there = ~np.isnan(numbers)
    count = int(is_there.sum())
    if not count:
        raise ValueError(f"nothing was measured: all of {numbers.shape[0]} x {numbers.shape[1]} values are missing")
    mean = float(numbers[is_there].mean())
    residuals = np.where(is_there, numbers - mean, 0.0)
    seeds, prompts = (int(is_there.any(axis=axis).sum()) for axis in (1, 0))
    of_seeds = _clustered(residuals.sum(axis=1) / count, seeds)
    of_prompts = _clustered(residuals.sum(axis=0) / count, prompts)
    variance = max(of_seeds + of_prompts - _of_cells(residuals, is_there, seeds, prompts), of_seeds, of_prompts)
    return Crossed(mean, variance, of_seeds, of_prompts, min(seeds, prompts) - 1)


def crossed_mean(values: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """The mean of (seeds, prompts) with its interval, seeds and prompts both random.

    Raises:
        ValueError: as `crossed`.
    """
    return crossed(values).interval(confidence)


def difference(one: ArrayLike, other: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """The mean of `one` less that of `other`, (seeds, prompts) each, paired by seed and prompt.

    Raises:
        ValueError: as `crossed`, and if the shapes differ.
    """
    return crossed(paired(one, other)).interval(confidence)


def paired(one: ArrayLike, other: ArrayLike) -> Values:
    """The differences (seeds, prompts); NaN where one of both was not measured.

    Raises:
        ValueError: if the shapes differ.
    """
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"arms are compared on the same seeds and prompts, got shapes {first.shape} and {second.shape}"
        )
    return first - second


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values corrected for how many there are (Holm 1979), in the order given, 1 at most.

    The smallest is multiplied by their number m, the next by m − 1, and so on, and none falls below one before it.

    Raises:
        ValueError: if one is not within [0, 1].
    """
    given = np.asarray(p_values, dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"a p-value is within [0, 1], got {given.tolist()}")
    order = np.argsort(given, kind="stable")
    grown = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)) if len(given) else given
    corrected = np.empty(len(given))
    corrected[order] = np.minimum(grown, 1.0)
    return tuple(corrected.tolist())


def compared(pairs: Mapping[Name, tuple[ArrayLike, ArrayLike]]) -> dict[Name, Compared]:
    """Compare the first with the second of each pair, (seeds, prompts) each, as one family that is corrected together.

    Raises:
        ValueError: as `difference`.
    """
    found = {name: crossed(paired(one, other)) for name, (one, other) in pairs.items()}
    p_values = [each.p_value for each in found.values()]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(found))
    return {
        name: Compared(each.interval(), each.interval(confidence), p_value, corrected)
        for (name, each), p_value, corrected in zip(found.items(), p_values, holm(p_values), strict=True)
    }


def _clustered(sums: Values, count: int) -> float:
    """The variance of a mean of independent clusters by their summed residuals; 0 of a single one."""
    return float(sums @ sums) * count / (count - 1) if count > 1 else 0.0


def _of_cells(residuals: Values, is_there: NDArray[np.bool_], seeds: int, prompts: int) -> float:
    """The variance of the mean that is of single cells, beside what all of a seed or of a prompt share."""
    if seeds < 2 or prompts < 2:
        return 0.0
    of_seed, of_prompt = (
        residuals.sum(axis=axis, keepdims=True) / np.maximum(is_there.sum(axis=axis, keepdims=True), 1)
        for axis in (1, 0)
    )
    own, count = np.where(is_there, residuals - of_seed - of_prompt, 0.0), int(is_there.sum())
    return float(np.square(own).sum()) / ((seeds - 1) * (prompts - 1)) * (seeds * prompts / count) / count
