"""2-means over unit vectors (REAL eq. 12) from their cosines alone, for many groups of one size at once.

With S the cosines and C = S centred in rows and columns, the inertia of a split with b of the K candidates on one side,
marked by z in {0, 1}^K, is trace(C) − zᵀCz · K / (b (K − b)): the embeddings are not needed, and centring keeps float32
exact enough when all cosines are near 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.selection.draws import random_signs
from models.selection.similarity import TOLERANCE, Float32s

Positions = NDArray[np.intp]
Booleans = NDArray[np.bool_]

EXACT_UP_TO = 16  # all 32,767 splits take about as long as Lloyd's iterations do at K = 16
ENUMERATION_FLOATS = 1 << 21  # splits x groups held at a time (8 MiB): half of that is 1.5x slower at K = 16

# 2,700 groups of K = 17, 24, 40, 64, nine kinds of data: 1 ends above scikit-learn's random_state=0 (2,017 below) and
# 8 above its n_init=10 (1,321 below), by 0.5 % of the inertia at most. Starts from far pairs alone lose more often.
FAR_STARTS = 8
RANDOM_STARTS = 56
KEPT_AFTER_TWO_ITERATIONS = 16
REFINED_STARTS = 8


def nearest_to_centres(similarity: Float32s, *, seed: int) -> tuple[Positions, Positions]:
    """For each group the candidate nearest each of its two centres, each within its own cluster.

    Args:
        similarity: (K, K, b) cosines of b groups of K >= 2 usable candidates.
        seed: reaches the starts of Lloyd's iterations, for K > 16 only.

    Returns:
        Two (b,) arrays of positions. The first belongs to the cluster of candidate 0. Squared distances within
        `TOLERANCE` of each other are equal and the lower position wins: both members of a cluster of two are always
        equally far from their centre.
    """
    centred = similarity - similarity.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    is_other = _best_splits(centred) if len(centred) <= EXACT_UP_TO else _lloyd_splits(similarity, centred, seed=seed)
    pull = np.einsum("ijb,jb->ib", centred, is_other.astype(np.float32))
    own_norm = np.einsum("iib->ib", centred)
    size = is_other.sum(axis=0).astype(np.float32)
    to_own = np.where(is_other, np.float32(np.inf), own_norm + 2 * pull / (len(centred) - size))
    to_other = np.where(is_other, own_norm - 2 * pull / size, np.float32(np.inf))
    return first_smallest(to_own), first_smallest(to_other)


def first_smallest(values: Float32s) -> Positions:
    """Per column of (n, b) values the first position within `TOLERANCE` of the column's minimum."""
    return _first_below(values, values.min(axis=0) + TOLERANCE)


def _first_below(values: Float32s, ceiling: Float32s) -> Positions:
    position: Positions = (values <= ceiling).argmax(axis=0)
    return position


def _best_splits(centred: Float32s) -> Booleans:
    """The split of least inertia of each group, by trying all 2^(K−1) − 1: (K, K, b) to (K, b), False for candidate 0.

    Splits equal within `TOLERANCE` go to the lowest number, candidate m counting 2^(m−1) if it is not with candidate 0.
    """
    size, _, groups = centred.shape
    step = max(1, ENUMERATION_FLOATS >> (size - 1))
    numbers = [_best_split_numbers(centred[:, :, start : start + step]) for start in range(0, groups, step)]
    codes = 2 * np.concatenate(numbers)
    is_other: Booleans = (codes >> np.arange(size)[:, None]) % 2 == 1
    return is_other


def _best_split_numbers(centred: Float32s) -> Positions:
    size, _, groups = centred.shape
    counts = np.bitwise_count(np.arange(1 << (size - 1)))
    counts[0] = 1  # the empty side is ruled out below
    cost = _subset_sums(centred)
    cost *= (-size / (counts * (size - counts.astype(np.float32)))).astype(np.float32)[:, None]
    cost[0] = np.inf
    runs = cost.reshape(-1, min(64, len(cost)), groups)  # two levels: one pass to find the run, then only that run
    lowest = runs.min(axis=1)
    ceiling = lowest.min(axis=0) + TOLERANCE
    run = _first_below(lowest, ceiling)
    return run * runs.shape[1] + _first_below(runs[run, :, np.arange(groups)].T, ceiling)


def _subset_sums(centred: Float32s) -> Float32s:
    """zᵀCz for every subset z of candidates 1 .. K−1 in counting order: (K, K, b) to (2^(K−1), b), by doubling."""
    size, _, groups = centred.shape
    sums = np.zeros((1 << (size - 1), groups), np.float32)
    added = np.empty((1 << (size - 2), groups), np.float32)  # what candidate m adds to each subset of 1 .. m−1
    for m in range(1, size):
        half = 1 << (m - 1)
        added[0] = centred[m, m]
        for j in range(1, m):
            np.add(added[: 1 << (j - 1)], 2 * centred[m, j], out=added[1 << (j - 1) : 1 << j])
        np.add(sums[:half], added[:half], out=sums[half : 2 * half])
    return sums


def _lloyd_splits(similarity: Float32s, centred: Float32s, *, seed: int) -> Booleans:
    """The best split found by Lloyd's iterations and single moves: (K, K, b) twice to (K, b), False for candidate 0."""
    matrices = np.ascontiguousarray(centred.transpose(2, 0, 1))
    splits = _starts(np.ascontiguousarray(similarity.transpose(2, 0, 1)), matrices, seed=seed)
    splits, _ = _lloyd_step(matrices, splits)
    splits, explained = _lloyd_step(matrices, splits)
    splits, explained = _lloyd(matrices, _best_of(splits, explained, KEPT_AFTER_TWO_ITERATIONS))
    sides, explained = _single_moves(matrices, _best_of(splits, explained, REFINED_STARTS))
    side = sides[np.arange(len(sides)), first_smallest(-explained.T)].T
    is_other: Booleans = side != side[0]
    return is_other


def _starts(similarity: Float32s, matrices: Float32s, *, seed: int) -> Float32s:
    """Splits to start from, (b, K, K) twice to (b, K, starts) of 0 and 1.

    Some split by the nearer of a candidate and its least similar one; the rest by a random direction, turned towards
    the main axes of the group by two multiplications with its matrix.
    """
    size = matrices.shape[1]
    seeds = np.arange(FAR_STARTS) * size // FAR_STARTS
    farthest = similarity[:, seeds].argmin(axis=2)
    by_far_pair = similarity[np.arange(len(matrices))[:, None], farthest] > similarity[:, seeds]
    directions = matrices @ (matrices @ random_signs((size, RANDOM_STARTS), seed=seed))
    splits = np.concatenate([by_far_pair.transpose(0, 2, 1), directions > 0], axis=2)
    is_one_sided = splits.all(axis=1) | ~splits.any(axis=1)
    splits[:, 0] ^= is_one_sided
    starts: Float32s = splits.astype(np.float32)
    return starts


def _lloyd_step(matrices: Float32s, splits: Float32s) -> tuple[Float32s, Float32s]:
    """Every candidate to its nearer centre; a split that would leave a side empty stays.

    Returns the (b, K, s) splits after the step and what the splits before it explained: trace(C) − inertia, (b, s).
    """
    pull = matrices @ splits
    counts = splits.sum(axis=1)
    rest = np.float32(matrices.shape[1]) - counts
    scatter = np.einsum("bks,bks->bs", splits, pull)
    moved = pull > (scatter * (rest - counts) / (2 * rest * counts))[:, None]
    after = moved.astype(np.float32)
    is_one_sided = moved.all(axis=1) | ~moved.any(axis=1)
    group, start = np.nonzero(is_one_sided)
    after[group, :, start] = splits[group, :, start]
    return after, scatter * (rest + counts) / (rest * counts)


def _lloyd(matrices: Float32s, splits: Float32s) -> tuple[Float32s, Float32s]:
    """Lloyd's iterations until no split of a group changes; 100 at most, since rounding could make one swing."""
    explained = np.empty((len(splits), splits.shape[2]), np.float32)
    active = np.arange(len(splits))
    for _ in range(100):
        moved, explained[active] = _lloyd_step(matrices[active], splits[active])
        has_changed = (moved != splits[active]).any(axis=(1, 2))
        splits[active] = moved
        active = active[has_changed]
        if not len(active):
            break
    return splits, explained


def _best_of(splits: Float32s, explained: Float32s, kept: int) -> Float32s:
    order = np.argsort(-explained, axis=1, kind="stable")[:, :kept]
    return np.take_along_axis(splits, order[:, None, :], axis=2)


def _single_moves(matrices: Float32s, splits: Float32s) -> tuple[Booleans, Float32s]:
    """Move one candidate at a time, the one that lowers the inertia most, while any lowers it by over `TOLERANCE`.

    Returns the (b, s, K) sides and what they explain, (b, s).
    """
    groups, size, starts = splits.shape
    weight = np.zeros(size + 1, np.float32)  # stays zero where a side is empty: such a move never gains
    weight[1:size] = size / (np.arange(1, size) * (size - np.arange(1, size, dtype=np.float32)))
    pull = (matrices @ splits).transpose(0, 2, 1).reshape(-1, size)
    sign = 1 - 2 * splits.transpose(0, 2, 1).reshape(-1, size)  # −1 for members, +1 for the others
    scatter = np.einsum("bks,bks->bs", splits, matrices @ splits).ravel()
    count = (sign < 0).sum(axis=1)
    group = np.repeat(np.arange(groups), starts)
    # what moving each candidate adds to the scatter zᵀCz; kept up to date with one row of C a move
    change = 2 * sign * pull + np.einsum("bii->bi", matrices)[group]
    row = np.arange(len(sign))
    final_sign, explained = sign.copy(), np.empty(len(sign), np.float32)
    while len(row):
        after = scatter[:, None] + change
        fewer, more = weight[count - 1, None], weight[count + 1, None]
        after *= (more + fewer) / 2 + sign * ((more - fewer) / 2)  # np.where with a column takes five times as long
        best = after.argmax(axis=1)
        is_moved = after[np.arange(len(row)), best] > scatter * weight[count] + TOLERANCE
        if not is_moved.all():
            is_done = ~is_moved
            final_sign[row[is_done]] = sign[is_done]
            explained[row[is_done]] = scatter[is_done] * weight[count[is_done]]
            change, sign, scatter, count, group, row, best = (
                kept[is_moved] for kept in (change, sign, scatter, count, group, row, best)
            )
        every = np.arange(len(row))
        own_sign, own_change = sign[every, best], change[every, best]
        change += matrices[group, best] * sign * (2 * own_sign)[:, None]
        scatter += own_change
        count += own_sign.astype(np.intp)
        change[every, best] = -own_change
        sign[every, best] = -own_sign
    return final_sign.reshape(groups, starts, size) < 0, explained.reshape(groups, starts)
