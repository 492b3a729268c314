"""The search for two clusters of more than 16 candidates, compiled: what `two_means` has in NumPy, for one group.

A split is a number, bit i for candidate i. Moves are written as LLVM instructions: the 64 places of a group are four
registers, and which move is best is told by comparing them, not by a loop (33 ns a move in place of 70 to 95). Needs
numba: import it when selecting, not before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from models.selection.compiled_tiles import FLOAT, INDEX, LANES, VECTOR, careful, finite
from models.selection.two_means import (
    FAR_STARTS,
    KICKS,
    LARGEST,
    LLOYD_AT_MOST,
    MOVES_AT_MOST,
    MOVES_WITHOUT_GAIN,
    PEER_DRAWS,
    PEER_STARTS,
    RANDOM_STARTS,
    SAME,
    TENURE_SHARE,
)

BEYOND = np.float32(1e30)
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
ROW, TWO_ROWS = np.uintp(LARGEST), np.uintp(2 * LARGEST)
STARTS = PEER_STARTS + FAR_STARTS + RANDOM_STARTS
BIT = np.uint64(1)
FIRST_DRAW, SECOND_DRAW, THIRD_DRAW = PEER_DRAWS


def _part(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Where the vector at a place of a float32 array is."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), VECTOR.as_pointer())


def _loaded(builder: Any, pointer: Any) -> Any:
    value = builder.load(pointer)
    value.align = 4
    return value


def _spread(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, lanes)


def _places(builder: Any, start: Any) -> list[Any]:
    return [builder.add(start, ir.Constant(INDEX, place)) for place in range(0, LARGEST, LANES)]


@intrinsic
def add_row(_context: Any, target: Any, at: Any, source: Any, start: Any, factor: Any) -> Any:
    """Add `factor` times the 64 numbers of `source` from `start` on to those of `target` from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        times = _spread(builder, arguments[4])
        for to, of in zip(_places(builder, arguments[1]), _places(builder, arguments[3]), strict=True):
            place = _part(context, builder, signature.args[0], arguments[0], to)
            more = _loaded(builder, _part(context, builder, signature.args[2], arguments[2], of))
            value = builder.fadd(_loaded(builder, place), builder.fmul(more, times, flags=("fast",)), flags=("fast",))
            builder.store(value, place).align = 4
        return context.get_dummy_value()

    return types.void(target, types.uintp, source, types.uintp, types.float32), generate


@intrinsic
def sum_rows(_context: Any, target: Any, at: Any, matrix: Any, count: Any, factors: Any, start: Any) -> Any:
    """Write the sum of `count` rows of 64 numbers, each times its factor, to `target` from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before = builder.block
        body, end = builder.append_basic_block("rows"), builder.append_basic_block("sums")
        builder.branch(body)
        builder.position_at_end(body)
        row = builder.phi(INDEX)
        row.add_incoming(ir.Constant(INDEX, 0), before)
        sums = [builder.phi(VECTOR) for _ in range(0, LARGEST, LANES)]
        factor = context.make_array(signature.args[4])(context, builder, arguments[4]).data
        number = builder.load(builder.gep(factor, [builder.add(arguments[5], row)]))
        times = _spread(builder, number)
        for total, place in zip(sums, _places(builder, builder.mul(row, ir.Constant(INDEX, LARGEST))), strict=True):
            total.add_incoming(ir.Constant(VECTOR, [0.0] * LANES), before)
            more = _loaded(builder, _part(context, builder, signature.args[2], arguments[2], place))
            product = builder.fmul(more, times, flags=("fast",))
            total.add_incoming(builder.fadd(total, product, flags=("fast",)), body)
        following = builder.add(row, ir.Constant(INDEX, 1))
        row.add_incoming(following, body)
        builder.cbranch(builder.icmp_unsigned("<", following, arguments[3]), body, end)
        builder.position_at_end(end)
        for total, place in zip(sums, _places(builder, arguments[1]), strict=True):
            value = next(value for value, block in total.incomings if block is body)
            builder.store(value, _part(context, builder, signature.args[0], arguments[0], place)).align = 4
        return context.get_dummy_value()

    return types.void(target, types.uintp, matrix, types.uintp, factors, types.uintp), generate


@intrinsic
def best_move(
    _context: Any, state: Any, at: Any, own_norm: Any, turn: Any, scatter: Any, middle: Any, half: Any
) -> Any:
    """The least cost of a split that one move leads to, and whose move: of equal ones the first candidate.

    `state` has pulls, signs and the turn from which each candidate may move again, of 64 candidates from `at` on each.
    """
    result = types.Tuple((types.float32, types.uintp))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def flat(kind: str, left: Any, right: Any) -> Any:
            return getattr(builder, kind)(left, right, flags=("fast",))

        now, sum_, mid, slope = (_spread(builder, number) for number in arguments[3:])
        least_of = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR, VECTOR]), f"llvm.minnum.v{LANES}f32"
        )
        two, beyond = (ir.Constant(VECTOR, [value] * LANES) for value in (2.0, 1e30))
        costs, least = [], None
        for place, own in zip(_places(builder, arguments[1]), _places(builder, ir.Constant(INDEX, 0)), strict=True):
            pull, sign, until = (
                _loaded(builder, _part(context, builder, kind, array, place))
                for kind, array in zip(signature.args[0], cgutils.unpack_tuple(builder, arguments[0]), strict=True)
            )
            norm = _loaded(builder, _part(context, builder, signature.args[2], arguments[2], own))
            change = flat("fadd", flat("fmul", flat("fmul", two, sign), pull), norm)
            cost = flat("fmul", flat("fadd", sum_, change), flat("fadd", mid, flat("fmul", slope, sign)))
            costs.append(builder.select(builder.fcmp_ordered("<=", until, now), cost, beyond))
            least = costs[-1] if least is None else builder.call(least_of, [least, costs[-1]], fastmath=("fast",))
        lowest = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(FLOAT, [VECTOR]), f"llvm.vector.reduce.fmin.v{LANES}f32"
        )
        value = builder.call(lowest, [least], fastmath=("fast",))
        bits = ir.Constant(INDEX, 0)
        for chunk, cost in enumerate(costs):
            is_least = builder.fcmp_ordered("<=", cost, _spread(builder, value))
            own_bits = builder.zext(builder.bitcast(is_least, ir.IntType(LANES)), INDEX)
            bits = builder.or_(bits, builder.shl(own_bits, ir.Constant(INDEX, chunk * LANES)))
        return context.make_tuple(builder, result, [value, builder.cttz(bits, ir.Constant(ir.IntType(1), 0))])

    taken = (state, types.uintp, own_norm, *[types.float32] * 4)
    return result(*taken), generate


@finite
def _weight(size: int, count: int) -> Any:
    """What zᵀCz is multiplied by where `count` are on one side; 0 where a side is empty."""
    others = size - count
    return np.float32(size) / np.float32(count * others) if count * others else ZERO


@finite
def _members(split: Any, size: int, sides: Any, at: Any) -> Any:
    """1 for who is on the other side, 0 for all else, from `at` on; how many they are."""
    for i in range(ROW):
        sides[at + i] = np.float32((split >> np.uint64(i)) & BIT)
    count = ZERO
    for i in range(np.uintp(size)):
        count += sides[at + i]
    return np.int64(count)


@finite
def _two_sided(split: Any, size: int) -> Any:
    """The split, candidate 0 against the rest where a side was empty."""
    everyone = ~np.uint64(0) >> np.uint64(64 - size)
    return split ^ BIT if split == np.uint64(0) or split == everyone else split


@finite
def _begin(matrix: Any, size: int, searches: int, work: Any, found: Any) -> None:
    """Pulls, signs and sums of the splits to start from."""
    state, _, counts, scatters, _, _ = work
    pulls, signs, until = state
    splits, best, best_splits = found
    for q in range(searches):
        at, scatter = np.uintp(q) * ROW, ZERO
        count = _members(splits[q], size, signs, at)
        sum_rows(pulls, at, matrix, np.uintp(size), signs, at)
        for i in range(np.uintp(size)):
            scatter += signs[at + i] * pulls[at + i]
        for i in range(ROW):
            signs[at + i] = ONE - TWO * signs[at + i]
            until[at + i] = ZERO if i < np.uintp(size) else BEYOND
        counts[q], scatters[q] = count, scatter
        best[q], best_splits[q] = scatter * _weight(size, count), splits[q]


@finite
def _move(matrix: Any, size: int, searches: int, work: Any, weights: Any, least_gain: Any, found: Any) -> None:
    """From each of the splits one move after the other, the best that is not barred, until they gain no more.

    All go on turn by turn, so that the processor need not wait for one before it begins with the next.
    """
    state, own_norm, counts, scatters, gained_at, active = work
    pulls, signs, until = state
    splits, best, best_splits = found
    _begin(matrix, size, searches, work, found)
    for q in range(searches):
        gained_at[q], active[q] = 0, q
    tenure = np.float32(1 + size // TENURE_SHARE)
    turn, left = 0, searches
    while left > 0 and turn < MOVES_AT_MOST * size:
        kept = 0
        for place in range(left):
            q = active[place]
            at, count = np.uintp(q) * ROW, counts[q]
            fewer, more = weights[count - 1], weights[count + 1]
            cost, who = best_move(
                state, at, own_norm, np.float32(turn), scatters[q], -HALF * (more + fewer), -HALF * (more - fewer)
            )
            if not cost < ZERO:
                continue
            sign = signs[at + who]
            scatters[q] += TWO * sign * pulls[at + who] + own_norm[who]
            counts[q] = count + np.int64(sign)
            add_row(pulls, at, matrix, who * ROW, sign)
            signs[at + who], until[at + who] = -sign, np.float32(turn) + tenure
            splits[q] ^= BIT << np.uint64(who)
            is_better = -cost > best[q] + least_gain
            best[q] = -cost if is_better else best[q]
            best_splits[q] = splits[q] if is_better else best_splits[q]
            gained_at[q] = turn + 1 if is_better else gained_at[q]
            active[kept] = q
            kept += 1 if turn + 1 - gained_at[q] <= MOVES_WITHOUT_GAIN else 0
        left = kept
        turn += 1


@finite
def _lloyd(matrix: Any, size: int, split: Any, pulls: Any) -> Any:
    """The split that Lloyd's iterations end at."""
    for _ in range(LLOYD_AT_MOST):
        count = _members(split, size, pulls, ROW)
        sum_rows(pulls, np.uintp(0), matrix, np.uintp(size), pulls, ROW)
        scatter, others = ZERO, size - count
        for i in range(np.uintp(size)):
            scatter += pulls[ROW + i] * pulls[i]
        threshold = scatter * np.float32(others - count) / np.float32(2 * others * count)
        moved = np.uint64(0)
        for i in range(np.uintp(size)):
            moved |= np.uint64(pulls[i] > threshold) << np.uint64(i)
        if moved == split or moved != _two_sided(moved, size):
            break
        split = moved
    return split


@careful
def _nearer(cosine: Any, size: int, one: Any, other: Any) -> Any:
    """Who is nearer to candidate `one` than to the other."""
    split = np.uint64(0)
    for i in range(np.uintp(size)):
        split |= np.uint64(cosine[one, i] > cosine[other, i]) << np.uint64(i)
    return split


@careful
def _peer_second(cosine: Any, size: int, first: int, draw: float, sums: Any) -> int:
    """Whom k-means++ takes for the second centre with this draw."""
    total = ZERO
    for i in range(size):
        total += max(ONE - cosine[first, i], ZERO)
        sums[i] = total
    second = 0
    for i in range(size):
        second += 1 if sums[i] < total * np.float32(draw) else 0
    return second


@careful
def _starts(cosine: Any, matrix: Any, size: int, draws: Any, pulls: Any, splits: Any) -> None:
    first = int(FIRST_DRAW * size)
    second = _peer_second(cosine, size, first, SECOND_DRAW, pulls)
    splits[0] = _lloyd(matrix, size, _two_sided(_nearer(cosine, size, second, first), size), pulls)
    second = _peer_second(cosine, size, first, THIRD_DRAW, pulls)
    splits[1] = _lloyd(matrix, size, _two_sided(_nearer(cosine, size, second, first), size), pulls)
    for start in range(FAR_STARTS):
        seed = start * size // FAR_STARTS
        splits[PEER_STARTS + start] = _two_sided(_nearer(cosine, size, cosine[seed, :size].argmin(), seed), size)
    for start in range(RANDOM_STARTS):
        splits[PEER_STARTS + FAR_STARTS + start] = _two_sided(_along(matrix, size, draws[start], pulls), size)


@finite
def _along(matrix: Any, size: int, signs: Any, pulls: Any) -> Any:
    """Who lies on one side of a random direction that two multiplications turned towards the main axes."""
    once, twice = ROW, TWO_ROWS
    for i in range(ROW):
        pulls[i] = TWO * np.float32((signs >> np.uint64(i)) & BIT) - ONE
    sum_rows(pulls, once, matrix, np.uintp(size), pulls, np.uintp(0))
    sum_rows(pulls, twice, matrix, np.uintp(size), pulls, once)
    split = np.uint64(0)
    for i in range(np.uintp(size)):
        split |= np.uint64(pulls[twice + i] > ZERO) << np.uint64(i)
    return split


@finite
def _best(size: int, splits: Any, explained: Any) -> Any:
    """The best of the splits as a number without candidate 0, of equal ones the lowest."""
    most = explained[0]
    for q in range(splits.size):
        most = max(most, explained[q])
    everyone, lowest = ~np.uint64(0) >> np.uint64(64 - size), ~np.uint64(0)
    for q in range(splits.size):
        if explained[q] >= most - SAME * abs(most):  # rounding may leave nothing above 0
            number = splits[q] ^ everyone if splits[q] & BIT else splits[q]
            lowest = min(lowest, number)
    return lowest


@careful
def search(cosine: Any, centred: Any, size: int, draws: Any, room: Any) -> Any:
    """The best split that is found of 17 to 64 candidates, bit i for candidate i, 0 for the first.

    Args:
        cosine: of the candidates, the upper left of a larger matrix perhaps.
        size: how many they are.
        centred: the same centred, the upper left of (64, 64) finite numbers.
        draws: of `search_draws` for the size: directions, then kicks.
        room: of `working_room`.
    """
    work, weights, found, kept, kept_explained = room
    matrix, own_norm = centred.reshape(ROW * ROW), work[1]
    trace = ZERO
    for i in range(size):
        own_norm[i] = centred[i, i]
        trace += own_norm[i]
        weights[i] = _weight(size, i)
    weights[size] = ZERO
    splits, explained, best_splits = found
    _starts(cosine, matrix, size, draws, work[0][0], splits)
    _move(matrix, size, STARTS, work, weights, SAME * trace, found)
    kept[:STARTS], kept_explained[:STARTS] = best_splits, explained
    best = _best(size, best_splits, explained)
    for kick in range(KICKS):
        splits[kick] = _two_sided(best ^ draws[RANDOM_STARTS + kick], size)
    _move(matrix, size, KICKS, work, weights, SAME * trace, found)
    kept[STARTS:], kept_explained[STARTS:] = best_splits[:KICKS], explained[:KICKS]
    return np.int64(_best(size, kept, kept_explained))


@careful
def working_room() -> Any:
    """What `search` needs."""
    state = (np.empty(STARTS * LARGEST, np.float32), np.empty(STARTS * LARGEST, np.float32),
             np.empty(STARTS * LARGEST, np.float32))  # fmt: skip
    work = (state, np.zeros(LARGEST, np.float32), np.empty(STARTS, np.int64), np.empty(STARTS, np.float32),
            np.empty(STARTS, np.int64), np.empty(STARTS, np.int64))  # fmt: skip
    found = (np.empty(STARTS, np.uint64), np.empty(STARTS, np.float32), np.empty(STARTS, np.uint64))
    every = STARTS + KICKS
    return work, np.empty(LARGEST + 1, np.float32), found, np.empty(every, np.uint64), np.empty(every, np.float32)
