"""2-means over unit vectors (REAL eq. 12) from their cosines alone, for many groups of one size at once.

With S the cosines and C = S centred in rows and columns, the inertia of a split with b of the K candidates on one side,
marked by z in {0, 1}^K, is trace(C) − zᵀCz · K / (b (K − b)): the embeddings are not needed, and centring keeps float32
exact enough when all cosines are near 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.selection.draws import random_signs, random_subsets
from models.selection.similarity import TOLERANCE, Float32s, Floats

Positions = NDArray[np.intp]
Booleans = NDArray[np.bool_]

EXACT_UP_TO = 16  # all 32,767 splits take about as long as the search does at K = 16
ENUMERATION_FLOATS = 1 << 21  # splits x groups held at a time (8 MiB): half of that is 1.5x slower at K = 16

# Above: starts, from each one move after the other, then kicks of the best split and moves again. Of 7,000 groups
# (K = 17 .. 64, 7 kinds of data) none ends above scikit-learn's random_state=0 and 5,489 below; of 2,100 none above
# n_init=10 and 1,203 below. `models.selection.compiled_search` is the same, and is compiled anew when a number changes.
PEER_DRAWS = (0.5488135, 0.71518937, 0.60276338)  # numpy.random.RandomState(0).random_sample(3)
PEER_STARTS = len(PEER_DRAWS) - 1
FAR_STARTS = 2
RANDOM_STARTS = 24  # with 12, 9 of 400 groups of four clusters miss the best known split at K = 64
KICKS = 10
KICKED_SHARE = 3 / 8  # of the candidates change sides; with 1/5 more miss it
MOVES_WITHOUT_GAIN = 5  # with 0, some 50 of 400 unclustered groups miss it at K = 64; with 3, some 15
MOVES_AT_MOST = 8  # times K
TENURE_SHARE = 8  # who has moved stays for K / 8 moves
LLOYD_AT_MOST = 100
LARGEST = 64
SEARCH_FLOATS = 1 << 17  # starts x K x groups held at a time
SAME = np.float32(1e-6)  # explained parts this close, relatively, are one split, so that no place is kept for it twice


def distances_to_centres(similarity: Float32s, *, seed: int) -> tuple[Float32s, Float32s]:
    """For each group how far its candidates are from the two centres, each from that of its own cluster.

    Args:
        similarity: (K, K, b) cosines of b groups of K >= 2 usable candidates.
        seed: reaches the starts and kicks of the search, for K > 16 only.

    Returns:
        Two (K, b) arrays of squared distances, less a constant of the cluster; ∞ for who is in the other one. The first
        is of the cluster of candidate 0. The nearest is `first_smallest`: values within `TOLERANCE` of each other are
        equal and the lower position wins, as both members of a cluster of two are always equally far from their centre.
    """
    centred = similarity - similarity.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    is_other = _best_splits(centred) if len(centred) <= EXACT_UP_TO else _found_splits(similarity, centred, seed=seed)
    pull = np.einsum("ijb,jb->ib", centred, is_other.astype(np.float32))
    own_norm = np.einsum("iib->ib", centred)
    size = is_other.sum(axis=0).astype(np.float32)
    to_own = np.where(is_other, np.float32(np.inf), own_norm + 2 * pull / (len(centred) - size))
    to_other = np.where(is_other, own_norm - 2 * pull / size, np.float32(np.inf))
    return to_own, to_other


def first_smallest(values: Floats, tolerance: np.float32 | float = TOLERANCE) -> Positions:
    """Per column of (n, b) values the first position within the tolerance of the column's minimum."""
    return _first_below(values, values.min(axis=0) + tolerance)


def _first_below(values: Floats, ceiling: Floats) -> Positions:
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


def _found_splits(similarity: Float32s, centred: Float32s, *, seed: int) -> Booleans:
    """The best split that the search finds: (K, K, b) cosines raw and centred to (K, b), False for candidate 0.

    Splits equal within `SAME` go to the lowest number, candidate m counting 2^(m−1) if it is not with candidate 0.
    """
    size, _, groups = centred.shape
    step = max(1, SEARCH_FLOATS // ((PEER_STARTS + FAR_STARTS + RANDOM_STARTS) * size))
    blocks = [slice(start, start + step) for start in range(0, groups, step)]
    splits = [_search(similarity[:, :, block], centred[:, :, block], seed=seed) for block in blocks]
    return np.concatenate(splits, axis=1)


def _search(similarity: Float32s, centred: Float32s, *, seed: int) -> Booleans:
    matrices = np.ascontiguousarray(centred.transpose(2, 0, 1))
    starts = _starts(np.ascontiguousarray(similarity.transpose(2, 0, 1)), matrices, seed=seed)
    starts[:, :PEER_STARTS] = _lloyd(matrices, starts[:, :PEER_STARTS])
    splits, explained = _moved(matrices, starts)
    best = _best_sides(splits, explained)
    kicked, kicked_explained = _moved(matrices, _two_sided(best[:, None] ^ search_kicks(best.shape[1], seed=seed)))
    return _best_sides(
        np.concatenate([splits, kicked], axis=1), np.concatenate([explained, kicked_explained], axis=1)
    ).T


def search_directions(size: int, *, seed: int) -> Float32s:
    """(RANDOM_STARTS, size) of −1 and +1."""
    return random_signs((RANDOM_STARTS, size), seed=seed)


def search_kicks(size: int, *, seed: int) -> Booleans:
    """(KICKS, size): who changes sides."""
    return random_subsets((KICKS, size), size=round(KICKED_SHARE * size), seed=seed)


def _best_sides(splits: Float32s, explained: Float32s) -> Booleans:
    """The best of (b, s, K) splits, (b, K) and False for candidate 0; of equal ones the lowest number."""
    is_other = splits != splits[:, :, :1]
    numbers = is_other[:, :, 1:] @ (np.uint64(1) << np.arange(splits.shape[2] - 1, dtype=np.uint64))
    most = explained.max(axis=1, keepdims=True)
    is_best = explained >= most - SAME * np.abs(most)
    best = np.where(is_best, numbers, np.iinfo(np.uint64).max).argmin(axis=1)
    sides: Booleans = is_other[np.arange(len(splits)), best]
    return sides


def _starts(similarity: Float32s, matrices: Float32s, *, seed: int) -> Float32s:
    """Splits to start from, (b, K, K) twice to (b, starts, K) of 0 and 1.

    First those that scikit-learn's KMeans(2, random_state=0) chooses from, which the search then can never end above.
    Some split by the nearer of a candidate and its least similar one; the rest by a random direction, turned towards
    the main axes of the group by two multiplications with its matrix.
    """
    size = matrices.shape[1]
    seeds = np.arange(FAR_STARTS) * size // FAR_STARTS
    to_seeds = similarity[:, seeds]
    by_far_pair = similarity[np.arange(len(matrices))[:, None], to_seeds.argmin(axis=2)] > to_seeds
    directions = search_directions(size, seed=seed) @ matrices @ matrices
    return _two_sided(np.concatenate([_peer_starts(similarity), by_far_pair, directions > 0], axis=1))


def _peer_starts(similarity: Float32s) -> Booleans:
    """(b, K, K) to (b, 2, K): k-means++ with scikit-learn's draws for random_state=0 and both seconds that it tries."""
    groups, size, _ = similarity.shape
    first_similarity = similarity[:, int(PEER_DRAWS[0] * size)]
    sums = np.maximum(1 - first_similarity, 0).cumsum(axis=1)
    second = (sums[:, None] < sums[:, None, -1:] * np.array(PEER_DRAWS[1:], np.float32)[:, None]).sum(axis=2)
    is_nearer: Booleans = similarity[np.arange(groups)[:, None], second] > first_similarity[:, None]
    return is_nearer


def _two_sided(splits: Booleans) -> Float32s:
    """The (b, s, K) splits as 0 and 1, candidate 0 against the rest where a side was empty."""
    result = splits.astype(np.float32)
    counts = result.sum(axis=2)
    is_one_sided = (counts == 0) | (counts == splits.shape[2])
    result[:, :, 0] = np.where(is_one_sided, 1 - result[:, :, 0], result[:, :, 0])
    return result


def _lloyd(matrices: Float32s, splits: Float32s) -> Float32s:
    """Every candidate to its nearer centre, again and again, until no split changes or a side would be empty.

    `LLOYD_AT_MOST` times at most, since rounding could make one swing.
    """
    size = np.float32(matrices.shape[1])
    for _ in range(LLOYD_AT_MOST):
        pull, counts = splits @ matrices, splits.sum(axis=2)
        scatter = np.einsum("bsk,bsk->bs", splits, pull)
        threshold = scatter * (size - 2 * counts) / (2 * (size - counts) * counts)
        moved = (pull > threshold[:, :, None]).astype(np.float32)
        new_counts = moved.sum(axis=2)
        is_one_sided = (new_counts == 0) | (new_counts == size)
        moved[is_one_sided] = splits[is_one_sided]
        if (moved == splits).all():
            break
        splits = moved
    return splits


def _moved(matrices: Float32s, splits: Float32s) -> tuple[Float32s, Float32s]:
    """One candidate after the other changes sides, always the one that leaves the least inertia.

    Also where that is more than before; who has moved then stays for some moves, so that the search leaves a split that
    no single move betters. It ends `MOVES_WITHOUT_GAIN` moves after the best split. Returns the best (b, s, K) splits
    on the way and what they explain, trace(C) − inertia, (b, s).
    """
    groups, starts, size = splits.shape
    weight = np.zeros(size + 2, np.float32)  # stays 0 where a side is empty: such a move is the worst
    weight[1:size] = size / (np.arange(1, size) * (size - np.arange(1, size))).astype(np.float32)
    group = np.repeat(np.arange(groups), starts)
    norms = np.einsum("bii->bi", matrices)
    least_gain, own_norm = SAME * norms.sum(axis=1)[group], norms[group]
    pull = (splits @ matrices).reshape(-1, size)
    scatter = np.einsum("nk,nk->n", splits.reshape(-1, size), pull)
    sign = 1 - 2 * splits.reshape(-1, size)  # −1 for members, +1 for the others
    count = (sign < 0).sum(axis=1)
    barred, gained_at, is_open = np.zeros(sign.shape, np.int16), np.zeros(len(sign), np.int16), np.full(len(sign), True)
    best_sign, best, row = sign.copy(), scatter * weight[count], np.arange(len(sign))
    for turn in range(MOVES_AT_MOST * size):
        change = sign * pull
        change *= 2
        change += own_norm
        fewer, more = weight[count - 1, None], weight[count + 1, None]
        explained = sign * ((more - fewer) / 2)
        explained += (more + fewer) / 2
        explained *= change + scatter[:, None]
        np.copyto(explained, -np.inf, where=barred > turn)
        every, who = np.arange(len(row)), explained.argmax(axis=1)
        value, own_sign = explained[every, who], sign[every, who]
        is_open &= value > 0  # or all candidates are one
        scatter += change[every, who]
        count += own_sign.astype(np.intp)
        pull += own_sign[:, None] * matrices[group, who]
        sign[every, who] = -own_sign
        barred[every, who] = turn + 1 + size // TENURE_SHARE
        better = np.flatnonzero(is_open & (value > best[row] + least_gain))
        best[row[better]], best_sign[row[better]], gained_at[better] = value[better], sign[better], turn + 1
        is_open &= turn + 1 - gained_at <= MOVES_WITHOUT_GAIN
        if not is_open.any():
            break
        if is_open.sum() < 0.8 * len(row):
            row, group, least_gain, own_norm, pull, scatter, sign, count, barred, gained_at, is_open = (
                values[is_open]
                for values in (row, group, least_gain, own_norm, pull, scatter, sign, count, barred, gained_at, is_open)
            )
    return (best_sign.reshape(groups, starts, size) < 0).astype(np.float32), best.reshape(groups, starts)
