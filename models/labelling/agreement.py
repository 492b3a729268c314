"""Agreement between annotators, corrected for chance, and intervals for shares. Knows integer codes alone."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["nominal", "interval"]

_NORMAL_975 = 1.959963984540054  # the normal distribution's 97.5 % quantile: 95 % lie between it and its negative


def krippendorff_alpha(ratings: NDArray[np.integer[Any]], *, metric: Metric) -> float | None:
    """Krippendorff's alpha: 1 for perfect agreement, 0 for what chance gives, below 0 for less than that.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". The sums over the coincidence matrix are
    taken unit by unit, so the time grows with the ratings, not with their square.

    Args:
        ratings: (annotators, units) integers, -1 where a rating is missing. With `interval` the codes are the values.
        metric: `nominal` (values are equal or not) or `interval` (a difference counts by its square).

    Returns:
        None where alpha is undefined: no unit has two ratings, or the ratings of those that do are all the same value.

    Raises:
        ValueError: If the ratings are not two-dimensional integers from -1 up, or the metric is none of the two.
    """
    if ratings.ndim != 2 or not np.issubdtype(ratings.dtype, np.integer):
        raise ValueError(f"ratings must be (annotators, units) integers, got {ratings.dtype} of shape {ratings.shape}")
    if ratings.min(initial=-1) < -1:
        raise ValueError(f"ratings must be -1 (missing) or codes from 0 up, got {ratings.min()}")
    if metric == "nominal":
        return nominal_alpha(_value_counts(ratings))
    if metric == "interval":
        return _interval_alpha(ratings)
    raise ValueError(f"metric must be nominal or interval, got {metric!r}")


def nominal_alpha(counts: NDArray[np.integer[Any]]) -> float | None:
    """Krippendorff's nominal alpha from how often each unit was given each value.

    Args:
        counts: (units, values) integers.

    Returns:
        None where alpha is undefined, as for `krippendorff_alpha`.
    """
    counts = counts[counts.sum(axis=1) > 1].astype(np.int64)
    size, totals = counts.sum(axis=1), counts.sum(axis=0)
    observed = ((size**2 - (counts**2).sum(axis=1)) / (size - 1)).sum()
    return _alpha(observed, totals.sum() ** 2 - (totals**2).sum(), count=int(totals.sum()))


def equal_couples(counts: NDArray[np.integer[Any]]) -> tuple[int, int]:
    """Of all couples of ratings of one unit, how many are equal, and how many there are.

    Args:
        counts: (units, values) integers: how often each unit was given each value.
    """
    counts = counts.astype(np.int64)
    size = counts.sum(axis=1)
    return int((counts * (counts - 1)).sum()) // 2, int((size * (size - 1)).sum()) // 2


def cohen_kappa(first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]]) -> float | None:
    """Cohen's kappa of two annotators over the units that both rated (Cohen 1960).

    Args:
        first: (n,) integer codes, -1 where the rating is missing.
        second: (n,) likewise.

    Returns:
        None where it is undefined: no unit rated by both, or both gave one same value to every such unit.

    Raises:
        ValueError: If the two are not one-dimensional and of one length.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"kappa needs two (n,) arrays of one length, got shapes {first.shape} and {second.shape}")
    is_rated = (first != -1) & (second != -1)
    values, codes = np.unique(np.stack([first[is_rated], second[is_rated]]), return_inverse=True)
    one, other = codes.reshape(2, -1)
    count = len(one)
    by_chance = int(np.bincount(one, minlength=len(values)) @ np.bincount(other, minlength=len(values)))
    if by_chance == count**2:
        return None
    return float((count * int((one == other).sum()) - by_chance) / (count**2 - by_chance))


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """The 95 % Wilson score interval (low, high) of a share (Wilson 1927); (0, 1) where nothing was counted.

    Raises:
        ValueError: If not 0 ≤ successes ≤ count.
    """
    if not 0 <= successes <= count:
        raise ValueError(f"successes must be from 0 to the count of {count}, got {successes}")
    if count == 0:
        return 0.0, 1.0
    share, spread = successes / count, _NORMAL_975**2 / count
    middle = share + spread / 2
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4)
    # At the ends the interval touches 0 or 1; rounding would leave it a hair beside.
    low = (middle - half) / (1 + spread) if successes else 0.0
    high = (middle + half) / (1 + spread) if successes < count else 1.0
    return low, high


def _value_counts(ratings: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """(units, values) int64: how often each unit was given each value that occurs."""
    values, codes = np.unique(ratings, return_inverse=True)
    units = np.broadcast_to(np.arange(ratings.shape[1]), ratings.shape)
    cells = (units * len(values) + codes.reshape(ratings.shape)).ravel()
    counts = np.bincount(cells, minlength=ratings.shape[1] * len(values)).reshape(ratings.shape[1], len(values))
    return counts[:, values != -1]


def _interval_alpha(ratings: NDArray[np.integer[Any]]) -> float | None:
    # Σ over ordered couples of (x − y)² is 2 (m Σx² − (Σx)²); values from their mean keep large codes exact enough.
    ratings = ratings[:, (ratings != -1).sum(axis=0) > 1]
    is_rated = ratings != -1
    size, count = is_rated.sum(axis=0), int(is_rated.sum())
    if not count or len(np.unique(ratings[is_rated])) == 1:
        return None
    values = np.where(is_rated, ratings - ratings[is_rated].mean(), 0.0)
    sums, squares = values.sum(axis=0), (values**2).sum(axis=0)
    observed = (2 * (size * squares - sums**2) / (size - 1)).sum()
    return _alpha(observed, 2 * (count * squares.sum() - sums.sum() ** 2), count=count)


def _alpha(observed: np.floating[Any], expected: np.floating[Any] | np.integer[Any], *, count: int) -> float | None:
    """1 − observed / (expected / (count − 1)): both sums run over ordered couples of `count` pairable ratings."""
    return float(1 - observed * (count - 1) / expected) if expected else None
