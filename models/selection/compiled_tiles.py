"""Inner products of a few rows with a few others in registers, while the rows that come next are fetched.

Written as LLVM instructions because a compiler gives up on vectors once a loop asks for memory ahead of its use, and
without asking the processor waits: 2.1 µs for the products of 8 rows of 768 numbers in memory, 1.0 µs with, 0.6 µs when
they are in its cache (AMD EPYC, one thread). Needs numba: import it when selecting, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8  # float32 numbers of one register
LINE = 64  # bytes that come from memory together
TO_SECOND_CACHE = 2  # to the first one takes half as long again: it is full of the rows at hand

FLOAT, INDEX, WORD, BYTES = ir.FloatType(), ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
VECTOR = ir.VectorType(FLOAT, LANES)
UNORDERED = ("reassoc", "contract", "nsz")

# Where a value may not be finite, no flag may say that all are.
careful = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
finite = njit(fastmath=True, error_model="numpy")


def _lines_per_step(lines_per_16: int) -> int:
    return max(1, lines_per_16 * LANES // 16)


class _Tile:
    """The loop over d of one tile: for each pair of rows a register of partial sums."""

    def __init__(self, builder: Any, pairs: list[tuple[int, int]]) -> None:
        self.builder, self.pairs = builder, pairs
        before = builder.block
        self.body, self.end = builder.append_basic_block("steps"), builder.append_basic_block("sums")
        builder.branch(self.body)
        builder.position_at_end(self.body)
        self.position = self._carried(INDEX, ir.Constant(INDEX, 0), before)
        zeros = ir.Constant(VECTOR, [0.0] * LANES)
        self.partial = [self._carried(VECTOR, zeros, before) for _ in pairs]

    def _carried(self, of: Any, initial: Any, before: Any) -> Any:
        value = self.builder.phi(of)
        value.add_incoming(initial, before)
        return value

    def fetch(self, start: Any, step: Any, count: int) -> None:
        """Ask for `count` lines; `step` bytes further on at every step."""
        builder = self.builder
        kind = ir.FunctionType(ir.VoidType(), [BYTES, WORD, WORD, WORD])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        taken = builder.mul(builder.udiv(self.position, ir.Constant(INDEX, LANES)), step)
        how = [ir.Constant(WORD, value) for value in (0, TO_SECOND_CACHE, 1)]
        for line in range(count):
            place = builder.add(taken, ir.Constant(INDEX, LINE * line))
            builder.call(ask, [builder.gep(start, [place]), *how])

    def multiply(self, left: list[Any], right: list[Any], length: Any) -> list[Any]:
        """Finish the loop over `length` numbers of the rows; the sums, a float for each pair."""
        builder = self.builder
        lefts = [self._loaded(row) for row in left]
        rights = lefts if left is right else [self._loaded(row) for row in right]
        sums = [
            builder.fadd(builder.fmul(lefts[i], rights[j], flags=UNORDERED), partial, flags=UNORDERED)
            for (i, j), partial in zip(self.pairs, self.partial, strict=True)
        ]
        following = builder.add(self.position, ir.Constant(INDEX, LANES))
        for carried, value in zip([self.position, *self.partial], [following, *sums], strict=True):
            carried.add_incoming(value, self.body)
        builder.cbranch(builder.icmp_signed("<", following, length), self.body, self.end)
        builder.position_at_end(self.end)
        kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
        add_up = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")
        return [builder.call(add_up, [ir.Constant(FLOAT, -0.0), value], fastmath=UNORDERED) for value in sums]

    def _loaded(self, row: Any) -> Any:
        place = self.builder.bitcast(self.builder.gep(row, [self.position]), VECTOR.as_pointer())
        value = self.builder.load(place)
        value.align = 4
        return value


def _tile(pairs: list[tuple[int, int]], *, is_square: bool, lines: int) -> Callable[..., Any]:
    """A function of (left rows, right rows, length, what comes next, bytes a step) for numba's code."""

    @intrinsic
    def products(_context: Any, left: Any, right: Any, length: Any, ahead: Any, step: Any) -> Any:
        result = types.UniTuple(types.float32, len(pairs))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def pointer(kind: Any, value: Any) -> Any:
                return context.make_array(kind)(context, builder, value).data

            rows = [
                [pointer(kind.dtype, builder.extract_value(value, place)) for place in range(kind.count)]
                for kind, value in zip(signature.args[:2], arguments[:2], strict=True)
            ]
            start = builder.bitcast(pointer(signature.args[3], arguments[3]), BYTES)
            tile = _Tile(builder, pairs)
            tile.fetch(start, arguments[4], lines)
            sums = tile.multiply(rows[0], rows[1] if is_square else rows[0], arguments[2])
            return context.make_tuple(builder, result, sums)

        return result(left, right, length, ahead, step), generate

    return products  # type: ignore[no-any-return]


TRIANGLE_LINES, SQUARE_LINES = _lines_per_step(4), _lines_per_step(2)
# Ten and eight sums with the rows that they need fill the 16 registers of a processor without AVX-512.
triangle = _tile([(i, j) for i in range(4) for j in range(i, 4)], is_square=False, lines=TRIANGLE_LINES)
square = _tile([(i, j) for i in range(2) for j in range(4)], is_square=True, lines=SQUARE_LINES)


@intrinsic
def half_value(_context: Any, bits: Any) -> Any:
    """The float32 of the half whose bits an int16 has."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), FLOAT)

    return types.float32(bits), generate


@intrinsic
def smaller(_context: Any, one: Any, other: Any) -> Any:
    """The smaller of two float32 that are not NaN; unlike `min`, a loop over it becomes vectors."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(FLOAT, [FLOAT, FLOAT])
        least = cgutils.get_or_insert_function(builder.module, kind, "llvm.minnum.f32")
        return builder.call(least, arguments, fastmath=("fast",))

    return types.float32(one, other), generate
