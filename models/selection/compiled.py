"""Easy, hard and centroid of many groups in one pass, compiled: each group is read once and nothing of it is kept.

The same rules as `models.selection.rules` and `models.selection.two_means`, which is where they are explained. Needs
numba: import it when selecting, not before.

numba keeps what it compiled until this file changes, so this file names what else went into it (`COMPILED_FROM`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from models.selection.compiled_clusters import best_split, central, centre
from models.selection.compiled_search import search, working_room
from models.selection.compiled_tiles import (
    LANES,
    LINE,
    SQUARE_LINES,
    TRIANGLE_LINES,
    careful,
    finite,
    half_value,
    smaller,
    square,
    triangle,
)
from models.selection.records import Reason
from models.selection.similarity import SMALLEST_SQUARED_NORM, TOLERANCE
from models.selection.two_means import EXACT_UP_TO, LARGEST

COMPILED_FROM = "bd1ab6acb170a41c"  # the other compiled_ files and the constants in them; a test tells the number
IDENTICAL = np.float32(1) - TOLERANCE
LARGEST_NORM = np.finfo(np.float32).max
ZERO, ONE, BEYOND = np.float32(0), np.float32(1), np.float32(1e30)
FLOAT_BYTES = 4
NO_USABLE, ONE_USABLE = int(Reason.NO_USABLE_EMBEDDING), int(Reason.ONE_USABLE_EMBEDDING)
ALL_IDENTICAL, PAIR_CHOSEN = int(Reason.ALL_IDENTICAL), int(Reason.PAIR_CHOSEN)
NO_CANDIDATE, ONE_CANDIDATE = int(Reason.NO_CANDIDATE), int(Reason.ONE_CANDIDATE)
EASY, HARD, CENTROID = 0, 1, 2  # rows of what is told


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


@careful
def _centroid(cosine: Any, size: int, easy: int, drawn: Any, scratch: Any) -> Any:
    """The position of the central pair, or easy's where that is no valid pair."""
    tables, draws = drawn
    centred, numbers, splits = scratch
    if size == 2:
        return 0
    centre(cosine, size, centred, numbers)
    if size <= EXACT_UP_TO:
        split = best_split(centred, size, tables, splits)
    else:
        # Room made here: carried along, its fifteen arrays would cost groups of four a fifth of their time.
        split = search(cosine, centred, size, draws[size], working_room())
    first, second = central(centred, size, split, numbers)
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
def _pick(group: int, gram: Any, size: int, drawn: Any, room: Any, told: Any) -> None:
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
    if len(drawn[0]):
        _write(CENTROID, group, _centroid(cosine, usable, easy, drawn, scratch), usable, room, told)


@careful
def _working_room(largest: int) -> Any:
    """What `_pick` needs for groups of so many candidates."""
    splits = np.empty((4, 1 << max(min(largest, EXACT_UP_TO) - 3, 0)), np.float32)
    row = LARGEST if largest > EXACT_UP_TO else largest
    scratch = (np.zeros((row, row), np.float32), np.empty(largest, np.float32), splits)
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


def choose(rows: Any, starts: Any, sizes: Any, largest: int, drawn: Any, told: Any) -> None:
    """The easy, hard and centroid pair of each of g groups.

    Args:
        rows: (n, d) float32, C-contiguous; or the bits of as many halves, int16.
        starts: (g,) int64, the first row of each group.
        sizes: (g,) int64, how many rows it has.
        largest: the most rows of a group, 2 to 64.
        drawn: `split_weights`, empty for no centroid, which then is not written; and `search_draws` of the seed.
        told: (3, g) first and second (int64, counted within the group), similarity (float32), rank (int32), and (g,)
            reason (uint8) and pair_count (int32), otherwise as in `SelectedPairs`; written to.
    """
    gram, room = np.empty((largest, largest), np.float32), _working_room(largest)
    floats = np.empty((0 if rows.itemsize == FLOAT_BYTES else largest, rows.shape[1]), np.float32)
    for group in range(len(starts)):
        start, size = starts[group], sizes[group]
        if size < 2:
            _write_nothing(group, NO_CANDIDATE if size == 0 else ONE_CANDIDATE, told)
            continue
        own = _as_floats(rows[start : start + size], floats)
        following = rows[start + size : start + 2 * size]
        _gram(own, following.reshape(following.size), gram)
        _pick(group, gram, size, drawn, room, told)
