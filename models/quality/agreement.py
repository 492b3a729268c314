"""Agreement between annotators, corrected for chance, and intervals for shares. Knows integer codes alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NORMAL_975 = 1.959963984540054  # the normal distribution's 97.5 % quantile: 95 % lie between it and its negative


def nominal_alpha(counts: NDArray[np.integer[Any]]) -> float | None:
    """Krippendorff's nominal alpha: 1 for perfect agreement, 0 for what chance gives, below 0 for less than that.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". The sums over the coincidence matrix are
    taken unit by unit, so the time grows with the ratings, not with their square.

    Args:
        counts: (units, values) integers: how often each unit was given each value.

    Returns:
        None where alpha is undefined: no unit has two ratings, or the ratings of those that do are all the same value.
    """
    counts = counts[counts.sum(axis=1) > 1].astype(np.int64)
    size, totals = counts.sum(axis=1), counts.sum(axis=0)
    count = int(totals.sum())
    observed = ((size**2 - (counts**2).sum(axis=1)) / (size - 1)).sum()
    expected = count**2 - (totals**2).sum()
    # Both sums run over ordered couples of the ratings that can be paired.
    return float(1 - observed * (count - 1) / expected) if expected else None


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
    first_codes, second_codes = codes.reshape(2, -1)
    count = len(first_codes)
    by_chance = int(np.bincount(first_codes, minlength=len(values)) @ np.bincount(second_codes, minlength=len(values)))
    if by_chance == count**2:
        return None
    return float((count * int((first_codes == second_codes).sum()) - by_chance) / (count**2 - by_chance))


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
