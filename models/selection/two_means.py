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

EXACT_UP_TO = 16  # all 32,767 splits take about as long as Lloyd's iterations do at K = 16
ENUMERATION_FLOATS = 1 << 21  # splits x groups held at a time (8 MiB): half of that is 1.5x slower at K = 16

# Above: starts, Lloyd's iterations, single moves, kicks and both again. Of 50,400 groups (K = 17 .. 64, 14 kinds of
# data) none ends above scikit-learn's random_state=0 and 40,384 below; 3 of 28,000 ended above without its own starts.
# 12 end above n_init=10, by 1.2 % of the inertia at most, and 28,775 below; 2 of 20,160 end above random_state=1.
PEER_DRAWS = (0.5488135, 0.71518937, 0.60276338)  # numpy.random.RandomState(0).random_sample(3)
PEER_STARTS = len(PEER_DRAWS) - 1
FAR_STARTS = 8
RANDOM_STARTS = 88
KEPT_AFTER_TWO_ITERATIONS = 24
REFINED_STARTS = 6
KICKED_SPLITS = 2  # of 22,400 groups 36 end above n_init=10 without kicks, 8 with them
KICKS_AT_LARGEST = 4  # of each kicked split at K = 64, more where they cost less
LARGEST = 64
KICKED_SHARE = 3 / 8  # of the candidates change sides; 1/8 needs twice the kicks and 16 end above
SEARCH_FLOATS = 1 << 19  # starts x K x groups held at a time (2 MiB)
SAME = np.float32(1e-6)  # explained parts this close, relatively, are one split, so that no place is kept for it twice


def distances_to_centres(similarity: Float32s, *, seed: int) -> tuple[Float32s, Float32s]:
    """For each group how far its candidates are from the two centres, each from that of its own cluster.

    Args:
        similarity: (K, K, b) cosines of b groups of K >= 2 usable candidates.
        seed: reaches the starts of Lloyd's iterations, for K > 16 only.

    Returns:
        Two (K, b) arrays of squared distances, less a constant of the cluster; ∞ for who is in the other one. The first
        is of the cluster of candidate 0. The nearest is `first_smallest`: values within `TOLERANCE` of each other are
        equal and the lower position wins, as both members of a cluster of two are always equally far from their centre.
    """
    centred = similarity - similarity.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    is_other = _best_splits(centred) if len(centred) <= EXACT_UP_TO else _lloyd_splits(similarity, centred, seed=seed)
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


def _lloyd_splits(similarity: Float32s, centred: Float32s, *, seed: int) -> Booleans:
    """The best split that the search finds: (K, K, b) cosines raw and centred to (K, b), False for candidate 0.

    Splits equal within `SAME` go to the lowest number, candidate m counting 2^(m−1) if it is not with candidate 0.
    """
    size, _, groups = centred.shape
    step = max(1, SEARCH_FLOATS // ((FAR_STARTS + RANDOM_STARTS) * size))
    blocks = [slice(start, start + step) for start in range(0, groups, step)]
    splits = [_search(similarity[:, :, block], centred[:, :, block], seed=seed) for block in blocks]
    return np.concatenate(splits, axis=1)


def _search(similarity: Float32s, centred: Float32s, *, seed: int) -> Booleans:
    matrices = np.ascontiguousarray(centred.transpose(2, 0, 1))
    splits = _starts(np.ascontiguousarray(similarity.transpose(2, 0, 1)), matrices, seed=seed)
    splits, _ = _lloyd_step(matrices, splits)
    splits, explained = _lloyd_step(matrices, splits)
    promising = _best_of(splits[:, PEER_STARTS:], explained[:, PEER_STARTS:], KEPT_AFTER_TWO_ITERATIONS)
    splits, explained = _lloyd(matrices, np.concatenate([splits[:, :PEER_STARTS], promising], axis=1))
    splits, explained = _single_moves(matrices, _best_of(splits, explained, REFINED_STARTS))
    kicked, _ = _lloyd(matrices, _kicked(_best_of(splits, explained, KICKED_SPLITS), seed=seed))
    kicked, kicked_explained = _single_moves(matrices, kicked)
    return _best_sides(
        np.concatenate([splits, kicked], axis=1), np.concatenate([explained, kicked_explained], axis=1)
    ).T


def _best_sides(splits: Float32s, explained: Float32s) -> Booleans:
    """The best of (b, s, K) splits, (b, K) and False for candidate 0; of equal ones the lowest number."""
    is_other = splits != splits[:, :, :1]
    numbers = is_other[:, :, 1:] @ (np.uint64(1) << np.arange(splits.shape[2] - 1, dtype=np.uint64))
    is_best = explained >= explained.max(axis=1, keepdims=True) * (1 - SAME)
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
    directions = random_signs((RANDOM_STARTS, size), seed=seed) @ matrices @ matrices
    return _two_sided(np.concatenate([_peer_starts(similarity), by_far_pair, directions > 0], axis=1))


def _peer_starts(similarity: Float32s) -> Booleans:
    """(b, K, K) to (b, 2, K): k-means++ with scikit-learn's draws for random_state=0 and both seconds that it tries."""
    groups, size, _ = similarity.shape
    first_similarity = similarity[:, int(PEER_DRAWS[0] * size)]
    sums = np.maximum(1 - first_similarity, 0).cumsum(axis=1)
    second = (sums[:, None] < sums[:, None, -1:] * np.array(PEER_DRAWS[1:], np.float32)[:, None]).sum(axis=2)
    is_nearer: Booleans = similarity[np.arange(groups)[:, None], second] > first_similarity[:, None]
    return is_nearer


def _kicked(splits: Float32s, *, seed: int) -> Float32s:
    """Copies of (b, s, K) splits in which other candidates change sides: (b, s * kicks, K)."""
    kicks = KICKS_AT_LARGEST * max(1, LARGEST // splits.shape[2])
    copies = np.repeat(splits, kicks, axis=1)
    is_flipped = random_subsets(copies.shape[1:], size=round(KICKED_SHARE * splits.shape[2]), seed=seed)
    return _two_sided((copies > 0) ^ is_flipped)


def _two_sided(splits: Booleans) -> Float32s:
    """The (b, s, K) splits as 0 and 1, candidate 0 against the rest where a side was empty."""
    result = splits.astype(np.float32)
    counts = result.sum(axis=2)
    is_one_sided = (counts == 0) | (counts == splits.shape[2])
    result[:, :, 0] = np.where(is_one_sided, 1 - result[:, :, 0], result[:, :, 0])
    return result


def _lloyd_step(matrices: Float32s, splits: Float32s) -> tuple[Float32s, Float32s]:
    """Every candidate to its nearer centre; a split that would leave a side empty stays.

    Returns the (b, s, K) splits after the step and what the splits before it explained: trace(C) − inertia, (b, s).
    """
    pull = splits @ matrices
    size = np.float32(matrices.shape[1])
    counts = splits.sum(axis=2)
    other_counts = size - counts
    scatter = np.einsum("bsk,bsk->bs", splits, pull)
    after = (pull > (scatter * (other_counts - counts) / (2 * other_counts * counts))[:, :, None]).astype(np.float32)
    new_counts = after.sum(axis=2)
    is_one_sided = (new_counts == 0) | (new_counts == size)
    after[is_one_sided] = splits[is_one_sided]
    return after, scatter * size / (other_counts * counts)


def _lloyd(matrices: Float32s, splits: Float32s) -> tuple[Float32s, Float32s]:
    """Lloyd's iterations until no split of a group changes; 100 at most, since rounding could make one swing."""
    explained = np.empty(splits.shape[:2], np.float32)
    active = np.arange(len(splits))
    for _ in range(100):
        moved, explained[active] = _lloyd_step(matrices[active], splits[active])
        has_changed = (moved != splits[active]).any(axis=(1, 2))
        splits[active] = moved
        active = active[has_changed]
        if not len(active):
            break
    return splits, explained


def _best_of(splits: Float32s, explained: Float32s, split_count: int) -> Float32s:
    """The (b, split_count, K) splits that explain most; those that repeat another come after all others."""
    group = np.arange(len(splits))[:, None]
    order = np.argsort(-explained, axis=1, kind="stable")
    falling = explained[group, order]
    is_repeated = np.zeros(falling.shape, np.bool_)
    is_repeated[:, 1:] = falling[:, :-1] - falling[:, 1:] <= SAME * falling[:, 1:]
    places = np.argsort(is_repeated, axis=1, kind="stable")[:, :split_count]
    best: Float32s = splits[group, order[group, places]]
    return best


def _single_moves(matrices: Float32s, splits: Float32s) -> tuple[Float32s, Float32s]:
    """Move one candidate at a time, the one that lowers the inertia most, while any lowers it by more than rounding.

    8 K moves at most, since rounding could make one swing. Returns the (b, s, K) splits and what they explain, (b, s).
    """
    groups, starts, size = splits.shape
    weight = np.zeros(size + 1, np.float32)  # stays zero where a side is empty: such a move never gains
    weight[1:size] = size / (np.arange(1, size) * (size - np.arange(1, size, dtype=np.float32)))
    pull = splits @ matrices
    scatter = np.einsum("bsk,bsk->bs", splits, pull).ravel()
    sign = 1 - 2 * splits.reshape(-1, size)  # −1 for members, +1 for the others
    count = (sign < 0).sum(axis=1)
    group = np.repeat(np.arange(groups), starts)
    own_norm = np.einsum("bii->bi", matrices)
    least_gain = SAME * own_norm.sum(axis=1)
    # what moving each candidate adds to the scatter zᵀCz; kept up to date with one row of C a move
    change = 2 * sign * pull.reshape(-1, size) + own_norm[group]
    row = np.arange(len(sign))
    final_sign, explained = sign.copy(), np.empty(len(sign), np.float32)
    for move in range(8 * size + 1):
        after = scatter[:, None] + change
        fewer, more = weight[count - 1, None], weight[count + 1, None]
        after *= (more + fewer) / 2 + sign * ((more - fewer) / 2)  # np.where with a column takes five times as long
        best = after.argmax(axis=1)
        is_moved = after[np.arange(len(row)), best] > scatter * weight[count] + least_gain[group]
        is_moved &= move < 8 * size
        if not is_moved.all():
            is_done = ~is_moved
            final_sign[row[is_done]] = sign[is_done]
            explained[row[is_done]] = scatter[is_done] * weight[count[is_done]]
            change, sign, scatter, count, group, row, best = (
                values[is_moved] for values in (change, sign, scatter, count, group, row, best)
            )
        if not len(row):
            break
        every = np.arange(len(row))
        own_sign, own_change = sign[every, best], change[every, best]
        added = matrices[group, best]
        added *= sign
        added *= (2 * own_sign)[:, None]
        change += added
        scatter += own_change
        count += own_sign.astype(np.intp)
        change[every, best] = -own_change
        sign[every, best] = -own_sign
    return (final_sign.reshape(groups, starts, size) < 0).astype(np.float32), explained.reshape(groups, starts)
