"""Latent distances and what is made of them: weights, and whether the farther response is the worse one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.intervals import Interval, share


@dataclass(frozen=True, slots=True)
class FartherShare:
    """How often the farther of two responses was the worse one: the mean over prompts with its 95 % interval.

    `rate` is None where no couple counts; `tie_count` couples of equal utility or equal distance were left out.
    """

    rate: Interval | None
    count: int
    tie_count: int


def latent_distances(golden: ArrayLike, sampled: ArrayLike) -> NDArray[np.float64]:
    """s(x, y, y′) = ‖φ(x, y) − φ(x, y′)‖₂ row by row (LD-Align section 4.2).

    Args:
        golden: (n, d) latents of the golden responses.
        sampled: (n, d) latents of the samples for the same prompts, in the same order.

    Returns:
        (n,) float64.

    Raises:
        ValueError: The shapes are not the same (n, d).
    """
    left, right = np.asarray(golden, dtype=np.float64), np.asarray(sampled, dtype=np.float64)
    if left.ndim != 2 or left.shape != right.shape:
        raise ValueError(f"latents must have one shape (n, d), got {left.shape} and {right.shape}; encode both alike")
    return np.asarray(np.linalg.norm(left - right, axis=1), dtype=np.float64)


def distance_weights(distances: ArrayLike) -> NDArray[np.float64]:
    """The weights w = s / S, S the mean distance (LD-Align alg. 1, line 11); their mean is 1.

    Where all distances are 0 the guide tells nothing apart, and all weights are 1. No distances give no weights.

    Args:
        distances: (n,) finite, at least 0.

    Returns:
        (n,) float64.

    Raises:
        ValueError: A distance is NaN, infinite or negative, or the array is not of one axis.
    """
    values = np.asarray(distances, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"distances must have the shape (n,), got {values.shape}; pass one distance an example")
    broken = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if broken.size:
        raise ValueError(
            f"distances must be finite and at least 0, {broken.size} of {values.size} are not, the first at "
            f"{broken[0]} is {values[broken[0]]}; train the guide with a lower learning_rate"
        )
    largest = values.max(initial=0.0)
    if largest == 0:
        return np.ones_like(values)
    shares = values / largest  # so that neither the sum of huge distances overflows nor that of tiny ones vanishes
    return np.asarray(shares / shares.mean(), dtype=np.float64)


def farther_is_worse(
    distances: tuple[ArrayLike, ArrayLike], utilities: tuple[ArrayLike, ArrayLike], prompts: ArrayLike
) -> FartherShare:
    """Of two responses to one prompt, how often the one farther from the golden response is worse (section 5.2).

    Couples of equal utility (or of equal distance) say nothing and are left out and counted.

    Args:
        distances: of the first responses from the golden ones, and of the second, (n,) each.
        utilities: how good the first are, and the second, (n,) each, larger is better.
        prompts: (n,) which prompt each couple answers: several couples of one prompt are no independent evidence.

    Raises:
        ValueError: The five are not of one shape (n,), or a value is NaN.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in (*distances, *utilities)]
    names = np.asarray(prompts)
    shapes = [array.shape for array in (*arrays, names)]
    if arrays[0].ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(f"expected five arrays of one shape (n,), got {shapes}; pass one value a couple")
    if broken := sum(int(np.isnan(array).sum()) for array in arrays):
        raise ValueError(f"expected numbers, {broken} of {arrays[0].size * 4} values are NaN; leave those couples out")
    farther, better = np.sign(arrays[0] - arrays[1]), np.sign(arrays[2] - arrays[3])
    is_counted = (farther != 0) & (better != 0)
    count = int(is_counted.sum())
    is_worse = farther[is_counted] == -better[is_counted]
    return FartherShare(share(is_worse, names[is_counted]) if count else None, count, len(farther) - count)
