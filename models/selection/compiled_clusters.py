"""Two clusters of few candidates, compiled: all their splits tried, and who is nearest to each centre.

`models.selection.two_means` is the same in NumPy, and says why. Needs numba: import it when selecting, not before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.selection.compiled_tiles import finite, smaller
from models.selection.similarity import TOLERANCE

ZERO, TWO, BEYOND = np.float32(0), np.float32(2), np.float32(1e30)
CHUNK = 64  # splits looked at together


@finite
def centre(cosine: Any, size: int, centred: Any, means: Any) -> None:
    """The (size, size) cosines centred in rows and columns.

    One of them is taken from all before: of cosines near 1 the sums would round so far that all entries are off alike,
    by 1e-7, and a split of one against eleven by 1e-5.
    """
    base, total = cosine[0, 1], ZERO
    for i in range(size):
        row = ZERO
        for j in range(size):
            centred[i, j] = cosine[i, j] - base
            row += centred[i, j]
        means[i] = row / size
        total += means[i]
    total /= size
    for i in range(size):
        for j in range(size):
            centred[i, j] += total - means[i] - means[j]


@finite
def _added(centred: Any, member: int, low: int, added: Any) -> None:
    """What candidate `member` adds to the sum of each subset of candidates 1 .. low."""
    added[0] = centred[member, member]
    for j in range(1, low + 1):
        half, more = 1 << (j - 1), TWO * centred[member, j]
        known, new = added[:half], added[half:][:half]  # indices that may be negative would keep vectors away
        for x in range(new.size):
            new[x] = known[x] + more


@finite
def _subset_sums(centred: Any, low: int, sums: Any, added: Any) -> None:
    """zᵀCz of every subset of candidates 1 .. low in counting order."""
    sums[0] = ZERO
    for member in range(1, low + 1):
        _added(centred, member, member - 1, added)
        half = 1 << (member - 1)
        known, new = sums[:half], sums[half:][:half]
        for x in range(new.size):
            new[x] = known[x] + added[x]


@finite
def _add(target: Any, more: Any) -> None:
    for x in range(target.size):
        target[x] += more[x]


@finite
def _least(sums: Any, weights: Any) -> Any:
    least = BEYOND
    for x in range(sums.size):
        least = smaller(least, sums[x] * weights[x])
    return least


@finite
def _first_in(sums: Any, weights: Any, ceiling: Any) -> Any:
    """The first subset whose cost is not above the ceiling, which one is not."""
    start = 0
    while start + CHUNK < sums.size and _least(sums[start:][:CHUNK], weights[start:][:CHUNK]) > ceiling:
        start += CHUNK
    for x in range(start, sums.size):
        if sums[x] * weights[x] <= ceiling:
            return x
    return sums.size - 1


@finite
def best_split(centred: Any, size: int, tables: Any, scratch: Any) -> Any:
    """The split of least inertia of 3 .. 16 candidates; candidate i is on the other side if bit i is set.

    The last two candidates are kept out of the enumeration of subsets: four sums follow from each of the rest.
    """
    low = size - 3
    count = 1 << low
    sums, first, second, both = scratch[0][:count], scratch[1][:count], scratch[2][:count], scratch[3][:count]
    _subset_sums(centred, low, sums, first)
    _added(centred, size - 2, low, first)
    _added(centred, size - 1, low, second)
    start, shared = 3 * (count - 1), TWO * centred[size - 2, size - 1]
    none, one, two = tables[start:][:count], tables[start + count :][:count], tables[start + 2 * count :][:count]
    _add(first, sums)
    for x in range(count):
        both[x] = first[x] + second[x] + shared
    _add(second, sums)
    leasts = (
        _least(sums[1:], none[1:]),  # without the empty side
        _least(first, one),
        _least(second, one),
        _least(both, two),
    )
    ceiling = min(leasts[0], leasts[1], leasts[2], leasts[3]) + TOLERANCE
    if leasts[0] <= ceiling:
        code = _first_in(sums[1:], none[1:], ceiling) + 1
    elif leasts[1] <= ceiling:
        code = _first_in(first, one, ceiling) + count
    elif leasts[2] <= ceiling:
        code = _first_in(second, one, ceiling) + 2 * count
    else:
        code = _first_in(both, two, ceiling) + 3 * count
    return 2 * code


@finite
def central(centred: Any, size: int, split: int, distance: Any) -> Any:
    """The candidate nearest the centre of each cluster, the lower first."""
    other = 0
    for i in range(size):
        other += (split >> i) & 1
    nearest_own, nearest_other = BEYOND, BEYOND
    for i in range(size):
        pull = ZERO
        for j in range(size):
            pull += centred[i, j] if (split >> j) & 1 else ZERO
        if (split >> i) & 1:
            distance[i] = centred[i, i] - TWO * pull / other
            nearest_other = min(nearest_other, distance[i])
        else:
            distance[i] = centred[i, i] + TWO * pull / (size - other)
            nearest_own = min(nearest_own, distance[i])
    own, others = -1, -1
    for i in range(size):
        if (split >> i) & 1:
            if others < 0 and distance[i] <= nearest_other + TOLERANCE:
                others = i
        elif own < 0 and distance[i] <= nearest_own + TOLERANCE:
            own = i
    return min(own, others), max(own, others)
