"""What a fitted head is, and what it says of pairs: margins of rewards and probabilities, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.head.axes import on_and_off

CONFIDENCE = 0.90
QUANTILE = 1.6448536269514722  # of the standard normal at 0.95: 90 % lie within ± it
_ROWS = 4_096  # of pairs that are compared at a time
# Integrals over a normal are trapezoids on ±7 of its deviations. The logistic's nearest pole is π away, so that a step
# of 1.8 nats, that of a deviation of 8, errs by e⁻¹¹.
GRID = np.linspace(-7.0, 7.0, 64)
DENSITY = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()

_Floats = NDArray[np.float64]


class Margins(NamedTuple):
    """Mean and standard deviation of r_first − r_second, in nats, of the same shape: (n,) or (K, K)."""

    means: _Floats
    deviations: _Floats


class Probabilities(NamedTuple):
    """That the first of each pair is preferred, with a 90 % interval; each (n,)."""

    mean: _Floats
    low: _Floats
    high: _Floats


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of the reward's weights under one prior: a Gaussian on the axes (Laplace's approximation).

    Attributes:
        weight: this prior's share of what the labels and the hyperprior say; the shares of a head sum to 1.
        mean: (k,) the weights on the axes.
        root: (k, k), root @ root.T is their covariance.
        variance: the prior's variance of a weight; off the axes the labels say nothing, and it is the posterior's too.
    """

    weight: float
    mean: _Floats
    root: _Floats
    variance: float


@dataclass(frozen=True, slots=True)
class Head:
    """A linear reward r(y) = w · e(y) with what the labels leave open of w.

    P(a ≻ b) = σ(r(a) − r(b)) (Bradley and Terry 1952); the length of a response is no part of it but as far as its
    embedding tells it. Swapping two responses swaps their probabilities, exactly.

    Attributes:
        axes: (d, k) orthonormal.
        posteriors: one a prior that the labels leave plausible.
        label_count: how many labels it was fitted to.
    """

    axes: _Floats
    posteriors: tuple[Posterior, ...]
    label_count: int

    def compare(self, first: ArrayLike, second: ArrayLike) -> Margins:
        """The margins of n pairs of responses, embeddings (n, d) each.

        Raises:
            ValueError: if shapes do not fit the head or an embedding is not finite.
        """
        one, other = self._checked(first), self._checked(second)
        if one.shape != other.shape:
            raise ValueError(f"pairs need as many first as second embeddings, got {one.shape} and {other.shape}")
        parts = [self._margins(differences) for differences in _differences(one, other)]
        means, deviations = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else (np.zeros(0),) * 2
        return Margins(means, deviations)

    def margins(self, vectors: ArrayLike) -> Margins:
        """The margins of all pairs of K responses, (K, d) → (K, K): entry (i, j) is of r_i − r_j, 0 on the diagonal.

        Raises:
            ValueError: as `compare`.
        """
        responses = self._checked(vectors)
        first, second = np.triu_indices(len(responses), 1)
        of_pairs = self.compare(responses[first], responses[second])
        means, deviations = np.zeros((2, len(responses), len(responses)))
        means[first, second], means[second, first] = of_pairs.means, -of_pairs.means
        deviations[first, second] = deviations[second, first] = of_pairs.deviations
        return Margins(means, deviations)

    def probabilities(self, first: ArrayLike, second: ArrayLike) -> Probabilities:
        """How probably the first of each pair is preferred, with 90 % intervals; embeddings (n, d) each.

        Raises:
            ValueError: as `compare`.
        """
        return win_probability(self.compare(first, second))

    def _checked(self, vectors: ArrayLike) -> NDArray[np.float32]:
        checked = np.asarray(vectors, dtype=np.float32)
        if checked.ndim != 2 or checked.shape[1] != len(self.axes):
            raise ValueError(f"the head reads embeddings (n, {len(self.axes)}), got {checked.shape}")
        if not np.isfinite(checked).all():
            raise ValueError("embeddings must be finite, some are not; leave out responses without a token")
        return checked

    def _margins(self, differences: NDArray[np.float32]) -> tuple[_Floats, _Floats]:
        return mixed_margins(self.posteriors, *on_and_off(differences, self.axes))


def mixed_margins(posteriors: tuple[Posterior, ...], on_axes: _Floats, rest: _Floats) -> tuple[_Floats, _Floats]:
    """Means and deviations (n,) of margins under all posteriors together.

    Args:
        posteriors: of the head.
        on_axes: (n, k) the pairs' differences on the axes.
        rest: (n,) the squared length of what is off the axes.
    """
    mean, square = np.zeros(len(on_axes)), np.zeros(len(on_axes))
    for posterior in posteriors:
        of_this = on_axes @ posterior.mean
        spread = on_axes @ posterior.root
        variance = np.einsum("nk,nk->n", spread, spread) + posterior.variance * rest
        mean += posterior.weight * of_this
        square += posterior.weight * (variance + of_this**2)
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def win_probability(margins: Margins) -> Probabilities:
    """E[σ(margin)] for normal margins, and σ of the margin's 5 % and 95 % quantiles."""
    from scipy.special import expit

    means, deviations = (np.asarray(part, dtype=np.float64) for part in margins)
    # All is computed of the side that is ahead, so that the two orders of a pair sum to 1 exactly.
    ahead = np.abs(means)
    low, high = expit(ahead - QUANTILE * deviations), expit(ahead + QUANTILE * deviations)
    mean = np.clip(expit(ahead[..., None] + deviations[..., None] * GRID) @ DENSITY, low, high)
    is_behind = means < 0
    return Probabilities(
        np.where(is_behind, 1 - mean, mean), np.where(is_behind, 1 - high, low), np.where(is_behind, 1 - low, high)
    )


def _differences(first: NDArray[np.float32], second: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(first), _ROWS):
        yield first[start : start + _ROWS] - second[start : start + _ROWS]
