"""What further labels are expected to add: a power law through a learning curve, with its uncertainty.

a − b · n⁻ᶜ is what learning curves of many learners follow (Hestness et al. 2017; Viering and Loog 2021). Splits share
labels, so that the variance between them says too little of the mean's: it is widened by Nadeau and Bengio's factor
(2003). What comes is one training set's accuracy, not the mean over all of them: the promise has that variance too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.head.curve import FOLDS, Curve
from models.head.records import QUANTILE
from models.intervals import Interval

STEP = 100  # labels
CONFIDENCE = 0.90
DRAWS = 2_000
# c of the power law. Steeper ones follow a curve's noise and flatten at once: with rates up to 1.5, 264 promises on
# simulated labels were of 0.9 points in the mean instead of 1.1, of 1.3 that came, and their intervals held as often.
_RATES = np.linspace(0.1, 0.7, 13)
_SMALLEST_VARIANCE = 1e-6  # of an accuracy: a tenth of a point

# Simulated rewards of 1 to 3 nats have 0.02 to 0.04 at 100 to 400 labels; some curves show less by chance, and even 0.
_LEAST_OWN = 0.02

_Floats = NDArray[np.float64]


class PowerLaws(NamedTuple):
    """Power laws a − b · n⁻ᶜ, (m,) each; 0 ≤ b, a ≤ 1."""

    limits: _Floats
    drops: _Floats
    rates: _Floats

    def at(self, count: float) -> _Floats:
        """The accuracies (m,) at a number of labels."""
        return self.limits - self.drops * count**-self.rates


@dataclass(frozen=True, slots=True)
class Promise:
    """What `step` more labels are expected to add to the accuracy at `count`, with a 90 % interval; shares."""

    count: int
    step: int
    gain: Interval
    accuracy: Interval

    @property
    def is_measurable(self) -> bool:
        """Whether the interval of the gain lies above 0."""
        return self.gain.low > 0


def promise(
    curve: Curve, count: int, *, step: int = STEP, drawn_from: int | None = None, seed: int = 0
) -> Promise | None:
    """What `step` labels beyond `count` are expected to add; None where a curve has fewer than three sizes.

    Args:
        curve: of at least three sizes and splits.
        count: how many labels there are, those that the splits hold out included.
        step: how many more.
        drawn_from: how many labels the splits were made of; None: all.
        seed: of the draws that make the interval.
    """
    if len(curve.sizes) < 3 or len(curve.tested) < 3:
        return None
    rng = np.random.default_rng(seed)
    by_split = curve.rights / curve.tested[:, None]
    between = _between(by_split)
    widened = between * _widening(len(by_split))
    means = rng.multivariate_normal(curve.accuracies, widened, DRAWS, method="cholesky")
    laws = fit_power_laws(curve.sizes, np.clip(means, 0.0, 1.0), 1 / np.diag(between))
    gains = laws.at(count + step) - laws.at(count)
    own = np.sqrt(_own_variance(curve, by_split, drawn_from or count) * (1 / count - 1 / (count + step)))
    return Promise(
        count, step, _interval(gains, gains + own * rng.standard_normal(DRAWS)), _interval(now := laws.at(count), now)
    )


def curve_intervals(curve: Curve, *, at: int | None = None) -> list[Interval]:
    """The accuracy at each size of a curve, or at one size between them, with 90 % intervals."""
    by_split = curve.rights / curve.tested[:, None]
    accuracies = curve.accuracies
    if at is not None:
        where = np.log(curve.sizes)
        by_split = np.array([[np.interp(np.log(at), where, row)] for row in by_split])
        accuracies = np.array([np.interp(np.log(at), where, accuracies)])
    half = QUANTILE * np.sqrt(np.diag(_between(by_split)) * _widening(len(by_split)))
    return [
        Interval(float(value), max(0.0, float(value - room)), min(1.0, float(value + room)))
        for value, room in zip(accuracies, half, strict=True)
    ]


def fit_power_laws(sizes: NDArray[np.int64], accuracies: _Floats, weights: _Floats) -> PowerLaws:
    """The power law nearest to each of m curves (m, S) by weighted least squares, weights (S,)."""
    best = np.full(len(accuracies), np.inf)
    limits, drops, rates = np.zeros((3, len(accuracies)))
    share = weights / weights.sum()
    for rate in _RATES:
        falls = sizes.astype(np.float64) ** -rate
        middle, mean = float(share @ falls), accuracies @ share
        drop = -((accuracies - mean[:, None]) * share) @ (falls - middle) / float(share @ (falls - middle) ** 2)
        drop = np.maximum(drop, 0.0)  # more labels do no harm on average
        limit = mean + drop * middle
        is_above = limit > 1
        drop = np.where(is_above, ((1 - accuracies) * share) @ falls / float(share @ falls**2), drop)
        limit = np.where(is_above, 1.0, limit)
        errors = np.square(accuracies - limit[:, None] + drop[:, None] * falls) @ share
        is_better = errors < best
        best = np.where(is_better, errors, best)
        limits, drops = np.where(is_better, limit, limits), np.where(is_better, drop, drops)
        rates = np.where(is_better, rate, rates)
    return PowerLaws(limits, drops, rates)


def _between(by_split: _Floats) -> _Floats:
    """The covariance of a split's accuracies at all sizes."""
    sizes = by_split.shape[1]
    return np.cov(by_split, rowvar=False).reshape(sizes, sizes) + _SMALLEST_VARIANCE * np.eye(sizes)


def _widening(splits: int) -> float:
    """The variance of the mean over splits that share labels, over that of one (Nadeau and Bengio 2003, eq. 9)."""
    return 1 / splits + 1 / (FOLDS - 1)


def _own_variance(curve: Curve, by_split: _Floats, count: int) -> float:
    """The v of the variance v · (1/n − 1/m) of what one training set gains from n to m labels, without test noise.

    Two splits' first n labels have a share of n / count in common, and vary by as much less than two of new labels.
    """
    steps = 1 / curve.sizes[:-1] - 1 / curve.sizes[1:]
    varies = np.var(np.diff(by_split, axis=1), axis=0, ddof=1) - curve.changes.mean(axis=0)
    apart = 1 - np.sqrt(curve.sizes[:-1] * curve.sizes[1:]) / count
    return float(max(_LEAST_OWN, (varies / steps / np.maximum(apart, 1 / FOLDS)).mean()))


def _interval(values: _Floats, spread: _Floats) -> Interval:
    low, high = np.quantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = float(values.mean())
    return Interval(value, min(float(low), value), max(float(high), value))
