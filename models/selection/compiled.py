"""Easy, hard and centroid of many groups in one pass, compiled: each group is read once and nothing of it is kept.

The same rules as `models.selection.rules` and `models.selection.two_means`, which is where they are explained. Needs
numba: import it when selecting, not before.

numba keeps what it compiled until this file changes, so this file names what else went into it (`COMPILED_FROM`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from models.selection.compiled_tiles import (
    LANES,
    LINE,
    SQUARE_LINES,
    TRIANGLE_LINES,
    half_value,
    smaller,
    square,
    triangle,
)
from models.selection.records import Reason
from models.selection.similarity import SMALLEST_SQUARED_NORM, TOLERANCE
from models.selection.two_means import EXACT_UP_TO

COMPILED_FROM = "434bed3e579e9e32"  # compiled_tiles.py and the constants above; a test tells the number
IDENTICAL = np.float32(1) - TOLERANCE
LARGEST_NORM = np.finfo(np.float32).max
ZERO, ONE, TWO, BEYOND = np.float32(0), np.float32(1), np.float32(2), np.float32(1e30)
FLOAT_BYTES = 4
CHUNK = 64  # splits looked at together
NO_USABLE, ONE_USABLE = int(Reason.NO_USABLE_EMBEDDING), int(Reason.ONE_USABLE_EMBEDDING)
ALL_IDENTICAL, PAIR_CHOSEN = int(Reason.ALL_IDENTICAL), int(Reason.PAIR_CHOSEN)
NO_CANDIDATE, ONE_CANDIDATE = int(Reason.NO_CANDIDATE), int(Reason.ONE_CANDIDATE)
EASY, HARD, CENTROID = 0, 1, 2  # rows of what is told

# Where a value may not be finite, no flag may say that all are.
careful = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
finite = njit(fastmath=True, error_model="numpy")


@careful
def _gram(rows: Any, ahead: Any, gram: Any) -> None:
    """Inner products of (K, d) rows into the upper half of (K, K), while (n,) `ahead` is fetched."""
    size, dimension = rows.shape
    whole, last = dimension - dimension % LANES, size - 1
    total, done = ahead.size * ahead.itemsize, 0
    steps = whole // LANES
    if whole == 0:
        gram[:size, :size] = ZERO
        _add_tail(rows, 0, gram)
        return
    for i in range(0, size, 4):
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        own = (rows[i], rows[i1], rows[i2], rows[i3])
        step = TRIANGLE_LINES * LINE if done < total else 0
        (gram[i, i], gram[i, i1], gram[i, i2], gram[i, i3], gram[i1, i1], gram[i1, i2], gram[i1, i3],
         gram[i2, i2], gram[i2, i3], gram[i3, i3]) = triangle(own, own, whole, _from(ahead, done), step)  # fmt: skip
        done += steps * step
        for j in range(i + 4, size, 4):
            j1, j2, j3 = min(j + 1, last), min(j + 2, last), min(j + 3, last)
            others = (rows[j], rows[j1], rows[j2], rows[j3])
            for a, b in ((i, i1), (i2, i3)):
                step = SQUARE_LINES * LINE if done < total else 0
                (gram[a, j], gram[a, j1], gram[a, j2], gram[a, j3], gram[b, j], gram[b, j1], gram[b, j2],
                 gram[b, j3]) = square((rows[a], rows[b]), others, whole, _from(ahead, done), step)  # fmt: skip
                done += steps * step
    if whole < dimension:
        _add_tail(rows, whole, gram)


@careful
def _from(ahead: Any, done: int) -> Any:
    return ahead[min(done // ahead.itemsize, ahead.size) :]


@careful
def _add_tail(rows: Any, start: int, gram: Any) -> None:
    """Add the products from number `start` of each row on."""
    for i in range(len(rows)):
        for j in range(i, len(rows)):
            total = ZERO
            for k in range(start, rows.shape[1]):
                total += rows[i, k] * rows[j, k]
            gram[i, j] += total


@careful
def _usable(gram: Any, size: int, who: Any, scale: Any) -> int:
    """Which rows are usable and what scales them to length 1; how many."""
    count = 0
    for i in range(size):
        squared = gram[i, i]
        if squared >= SMALLEST_SQUARED_NORM and squared <= LARGEST_NORM:
            who[count] = i
            scale[count] = ONE / np.sqrt(squared)
            count += 1
    return count


@finite
def _cosines(gram: Any, count: int, whose: Any, cosine: Any, pairs: Any) -> None:
    """Cosines of the usable rows as a matrix and pair by pair."""
    who, scale = whose
    place = 0
    for a in range(count):
        i = who[a]
        cosine[a, a] = gram[i, i] * scale[a] * scale[a]
        for b in range(a + 1, count):
            value = gram[i, who[b]] * scale[b] * scale[a]
            cosine[a, b] = cosine[b, a] = pairs[place] = value
            place += 1


@finite
def _extremes(pairs: Any, count: int) -> tuple[Any, Any, Any]:
    """The least and the greatest cosine of a valid pair, and how many are valid."""
    least, most, valid = BEYOND, BEYOND, ZERO
    for x in range(count):
        value = pairs[x]
        is_valid = value < IDENTICAL
        least = smaller(least, value)  # where any pair is valid the least one is
        most = smaller(most, -value if is_valid else BEYOND)
        valid += ONE if is_valid else ZERO
    return least, -most, np.int64(valid)


@finite
def _first_within(pairs: Any, count: int, low: Any, high: Any) -> Any:
    """The first pair from `low` to `high`."""
    for x in range(count):
        if low <= pairs[x] <= high:
            return x
    return 0


@finite
def _rank(pairs: Any, count: int, chosen: Any) -> Any:
    below, ceiling = ONE, chosen - TOLERANCE
    for x in range(count):
        below += ONE if pairs[x] < ceiling else ZERO
    return np.int64(below)


@finite
def _centre(cosine: Any, size: int, centred: Any, means: Any) -> None:
    """The (size, size) cosines centred in rows and columns."""
    total = ZERO
    for i in range(size):
        row = ZERO
        for j in range(size):
            row += cosine[i, j]
        means[i] = row / size
        total += means[i]
    total /= size
    for i in range(size):
        for j in range(size):
            centred[i, j] = cosine[i, j] - means[i] - means[j] + total


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
def _best_split(centred: Any, size: int, tables: Any, scratch: Any) -> Any:
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
def _central(centred: Any, size: int, split: int, distance: Any) -> Any:
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


@careful
def _centroid(cosine: Any, size: int, easy: int, tables: Any, scratch: Any) -> Any:
    """The position of the central pair, or easy's where that is no valid pair."""
    centred, numbers, splits = scratch
    if size == 2:
        return 0
    _centre(cosine, size, centred, numbers)
    first, second = _central(centred, size, _best_split(centred, size, tables, splits), numbers)
    if not cosine[first, second] < IDENTICAL:
        return easy
    return first * (2 * size - first - 1) // 2 + second - first - 1


@careful
def _write(turn: int, group: int, position: int, size: int, room: Any, told: Any) -> None:
    """Tell of the pair at a position among those of the usable candidates; rows are counted within the group."""
    _, pairs, who, _, _ = room
    first, second, similarity, rank, _, _ = told
    i, left = 0, position
    while left >= size - 1 - i:
        left -= size - 1 - i
        i += 1
    first[turn, group] = who[i]
    second[turn, group] = who[i + 1 + left]
    similarity[turn, group] = max(pairs[position], -ONE)
    rank[turn, group] = _rank(pairs, size * (size - 1) // 2, pairs[position])


@careful
def _write_nothing(group: int, why: int, told: Any) -> None:
    first, second, similarity, rank, reason, pair_count = told
    for turn in range(len(first)):
        first[turn, group] = second[turn, group] = -1
        similarity[turn, group] = np.float32(np.nan)
        rank[turn, group] = 0
    reason[group], pair_count[group] = why, 0


@careful
def _pick(group: int, gram: Any, size: int, tables: Any, room: Any, told: Any) -> None:
    """From the inner products of a group to its three pairs."""
    cosine, pairs, who, scale, scratch = room
    usable = _usable(gram, size, who, scale)
    if usable < 2:
        _write_nothing(group, NO_USABLE if usable == 0 else ONE_USABLE, told)
        return
    _cosines(gram, usable, (who, scale), cosine, pairs)
    count = usable * (usable - 1) // 2
    least, most, valid = _extremes(pairs, count)
    if valid == 0:
        _write_nothing(group, ALL_IDENTICAL, told)
        return
    told[4][group], told[5][group] = PAIR_CHOSEN, valid
    easy = _first_within(pairs, count, least, min(least + TOLERANCE, most))
    _write(EASY, group, easy, usable, room, told)
    _write(HARD, group, _first_within(pairs, count, most - TOLERANCE, most), usable, room, told)
    if len(tables):
        _write(CENTROID, group, _centroid(cosine, usable, easy, tables, scratch), usable, room, told)


@careful
def _working_room(largest: int) -> Any:
    """What `_pick` needs for groups of so many candidates."""
    splits = np.empty((4, 1 << max(min(largest, EXACT_UP_TO) - 3, 0)), np.float32)
    scratch = (np.empty((largest, largest), np.float32), np.empty(largest, np.float32), splits)
    pairs = np.empty(largest * (largest - 1) // 2, np.float32)
    return (
        np.empty((largest, largest), np.float32),
        pairs,
        np.empty(largest, np.int64),
        np.empty(largest, np.float32),
        scratch,
    )


def _as_floats(own: Any, floats: Any) -> Any:
    """(K, d) rows as float32: themselves, or `floats` with the values of the halves whose bits they are."""
    raise NotImplementedError("for compiled code alone")


@overload(_as_floats)
def _as_floats_of_type(own: Any, floats: Any) -> Any:
    def themselves(own: Any, floats: Any) -> Any:
        return own

    def converted(own: Any, floats: Any) -> Any:
        for i in range(len(own)):
            _convert(own[i], floats[i])
        return floats[: len(own)]

    return themselves if own.dtype == types.float32 else converted


@careful
def _convert(half_bits: Any, values: Any) -> None:
    for k in range(half_bits.size):
        values[k] = half_value(half_bits[k])


def choose(rows: Any, starts: Any, sizes: Any, largest: int, tables: Any, told: Any) -> None:
    """The easy, hard and centroid pair of each of g groups; of those above `largest` nothing that is to be read.

    Args:
        rows: (n, d) float32, C-contiguous; or the bits of as many halves, int16.
        starts: (g,) int64, the first row of each group.
        sizes: (g,) int64, how many rows it has.
        largest: 2 or more candidates, `EXACT_UP_TO` at most where the centroid is asked for.
        tables: of `split_weights`; empty for no centroid, which then is not written.
        told: (3, g) first and second (int64, counted within the group), similarity (float32), rank (int32), and (g,)
            reason (uint8) and pair_count (int32), otherwise as in `SelectedPairs`; written to.
    """
    gram, room = np.empty((largest, largest), np.float32), _working_room(largest)
    floats = np.empty((0 if rows.itemsize == FLOAT_BYTES else largest, rows.shape[1]), np.float32)
    for group in range(len(starts)):
        start, size = starts[group], sizes[group]
        if size < 2 or size > largest:
            _write_nothing(group, NO_CANDIDATE if size == 0 else ONE_CANDIDATE, told)
            continue
        own = _as_floats(rows[start : start + size], floats)
        following = rows[start + size : start + 2 * size]
        _gram(own, following.reshape(following.size), gram)
        _pick(group, gram, size, tables, room, told)
