"""Triton kernels: easy and hard pairs, and 2-means, of many groups of one size, each group read once. CUDA alone.

The rules and ties are those of `models.selection.rules` and `models.selection.two_means`, which the tests and
bench/gpu.py hold beside it. With TRITON_INTERPRET=1 they run on CPU tensors, slowly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.selection.similarity import SMALLEST_SQUARED_NORM, TOLERANCE

LARGEST_SPLIT = 16  # candidates of which all splits are tried
_TOLERANCE = tl.constexpr(float(TOLERANCE))
_SMALLEST = tl.constexpr(float(SMALLEST_SQUARED_NORM))
_NO_KEY = tl.constexpr(1 << 30)
_FEW, _GROUPS_AT_ONCE = 8, 32  # up to 8 candidates, all splits of 32 groups are one product of matrices
_LOW_BITS = 7  # the splits of seven candidates down a tile, those of the others across it


def pick(rows: Tensor, *, keeps_cosines: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The easy and the hard pair of each group.

    Args:
        rows: (b, K, d) contiguous float16, bfloat16 or float32; 2 <= K <= 64.
        keeps_cosines: whether the (b, K, K) cosines are written.

    Returns:
        (2, 3, b) int32 for easy and hard: the two candidates, first < second, and the rank, all 0 where no pair is
        valid; (2, b) float32 their cosines; (2, b) int32 the usable candidates and the valid pairs; the cosines, NaN
        for what is not usable.
    """
    groups, size, dimension = rows.shape
    picks = torch.empty((2, 3, groups), dtype=torch.int32, device=rows.device)
    cosines = torch.empty((2, groups), dtype=torch.float32, device=rows.device)
    counts = torch.empty((2, groups), dtype=torch.int32, device=rows.device)
    matrices = torch.empty((groups, size, size), dtype=torch.float32, device=rows.device) if keeps_cosines else None
    tile = max(16, triton.next_power_of_2(size))
    chunk, warps, stages = _shape(tile, rows.element_size())
    _pick[(triton.cdiv(groups, tile // size),)](
        rows, picks, cosines, counts, cosines if matrices is None else matrices, groups, dimension,
        SIZE=size, TILE=tile, CHUNK=chunk, KEEPS=keeps_cosines, num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return picks, cosines, counts, matrices


def split(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """REAL's central pair of each group whose candidates are all usable: the best of all splits, and who is central.

    Args:
        matrices: (b, K, K) float32 cosines, 2 <= K <= 16.

    Returns:
        (3, b) int32: first < second, and the rank; the cosine (b,) float32. Meaningless where it is 1 − 4e-6 or above.
    """
    groups, size, _ = matrices.shape
    means = matrices.mean(dim=1, keepdim=True)
    centred = matrices - means
    centred -= centred.mean(dim=2, keepdim=True)
    picks = torch.empty((3, groups), dtype=torch.int32, device=matrices.device)
    cosines = torch.empty(groups, dtype=torch.float32, device=matrices.device)
    if size <= _FEW:
        entries = max(16, triton.next_power_of_2(size * size))
        _split_few[(triton.cdiv(groups, _GROUPS_AT_ONCE),)](
            matrices, centred, picks, cosines, groups,
            SIZE=size, PADDED=triton.next_power_of_2(size), SPLITS=max(16, 1 << (size - 1)), ENTRIES=entries,
            GROUPS=_GROUPS_AT_ONCE, num_warps=4,
        )  # fmt: skip
        return picks, cosines
    low = min(size - 1, _LOW_BITS)
    high = size - 1 - low
    across = 1 << min(high, _LOW_BITS)
    _split[(groups,)](
        matrices, centred, picks, cosines, groups,
        SIZE=size, LOW=low, HIGH=high, DOWN=max(16, 1 << low), ACROSS=max(16, across), num_warps=4 if high < 6 else 8,
    )  # fmt: skip
    return picks, cosines


def _shape(tile: int, element_size: int) -> tuple[int, int, int]:
    """Columns read at a time, warps, and stages of the pipeline."""
    columns = 256 if tile <= 32 else 128
    return max(16, columns * 2 // element_size), 1 if tile == 16 else 2 if tile == 32 else 4, 3


@triton.jit
def _over_group(of_rows: tl.tensor, is_same: tl.tensor) -> tl.tensor:
    return tl.sum(tl.where(is_same, of_rows[None, :], 0), axis=1)


@triton.jit
def _pick(
    rows: tl.tensor, picks: tl.tensor, cosines: tl.tensor, counts: tl.tensor, matrices: tl.tensor,
    groups: tl.tensor, dimension: tl.tensor,
    SIZE: tl.constexpr, TILE: tl.constexpr, CHUNK: tl.constexpr, KEEPS: tl.constexpr,
) -> None:  # fmt: skip
    per_tile: tl.constexpr = TILE // SIZE
    start_group = tl.program_id(0) * per_tile
    row = tl.arange(0, TILE)
    group = start_group + row // SIZE
    is_row = (row < per_tile * SIZE) & (group < groups)
    base = rows + start_group.to(tl.int64) * SIZE * dimension
    gram = tl.zeros((TILE, TILE), dtype=tl.float32)
    for start in range(0, dimension, CHUNK):
        column = start + tl.arange(0, CHUNK)
        values = tl.load(
            base + row[:, None] * dimension + column[None, :],
            mask=is_row[:, None] & (column < dimension)[None, :],
            other=0.0,
        )
        # A sum of its own for each chunk (the last argument keeps Triton from merging them): the tensor cores cut what
        # they add up where float32 rounds, and a long sum of theirs is off by more than the tolerance.
        gram += tl.dot(values, tl.trans(values), input_precision="ieee", max_num_imprecise_acc=1)
    squared = tl.sum(tl.where(row[:, None] == row[None, :], gram, 0.0), axis=1)
    is_usable = is_row & (squared >= _SMALLEST) & (squared < float("inf"))
    scale = tl.where(is_usable, 1.0 / tl.sqrt_rn(tl.where(is_usable, squared, 1.0)), float("nan"))
    cosine = gram * scale[None, :] * scale[:, None]
    is_same = (row[:, None] // SIZE) == (row[None, :] // SIZE)
    if KEEPS:
        place = group.to(tl.int64)[:, None] * (SIZE * SIZE) + (row % SIZE)[:, None] * SIZE + (row % SIZE)[None, :]
        tl.store(matrices + place, cosine, mask=is_same & is_row[:, None] & is_row[None, :])
    is_pair = is_same & (row[:, None] < row[None, :]) & (cosine < 1.0 - _TOLERANCE)
    is_first = is_row & (row % SIZE == 0)
    pair_count = _over_group(tl.sum(is_pair.to(tl.int32), axis=1), is_same)
    tl.store(counts + group, _over_group(is_usable.to(tl.int32), is_same), mask=is_first)
    tl.store(counts + groups + group, pair_count, mask=is_first)
    key = row[:, None] * TILE + row[None, :]
    for turn in tl.static_range(2):
        cost = tl.where(is_pair, cosine if turn == 0 else -cosine, float("inf"))
        lowest = tl.min(tl.where(is_same, tl.min(cost, axis=1)[None, :], float("inf")), axis=1)
        near = tl.where(is_pair & (cost <= lowest[:, None] + _TOLERANCE), key, _NO_KEY)
        chosen = tl.min(tl.where(is_same, tl.min(near, axis=1)[None, :], _NO_KEY), axis=1)
        value = _over_group(tl.sum(tl.where(key == chosen[:, None], cosine, 0.0), axis=1), is_same)
        is_below = is_pair & (cosine < value[:, None] - _TOLERANCE)
        rank = 1 + _over_group(tl.sum(is_below.to(tl.int32), axis=1), is_same)
        has_pair = pair_count > 0
        place = picks + turn * 3 * groups + group
        tl.store(place, tl.where(has_pair, chosen // TILE % SIZE, 0), mask=is_first)
        tl.store(place + groups, tl.where(has_pair, chosen % TILE % SIZE, 0), mask=is_first)
        tl.store(place + 2 * groups, tl.where(has_pair, rank, 0), mask=is_first)
        tl.store(cosines + turn * groups + group, value, mask=is_first)


@triton.jit
def _split_few(
    matrices: tl.tensor, centred: tl.tensor, picks: tl.tensor, cosines: tl.tensor, groups: tl.tensor,
    SIZE: tl.constexpr, PADDED: tl.constexpr, SPLITS: tl.constexpr, ENTRIES: tl.constexpr, GROUPS: tl.constexpr,
) -> None:  # fmt: skip
    group = tl.program_id(0) * GROUPS + tl.arange(0, GROUPS)
    is_group = group < groups
    start = group.to(tl.int64) * (SIZE * SIZE)
    entry = tl.arange(0, ENTRIES)
    values = tl.load(
        centred + start[None, :] + entry[:, None],
        mask=is_group[None, :] & (entry < SIZE * SIZE)[:, None],
        other=0.0,
    )
    code = tl.arange(0, SPLITS)
    # z_i z_j of each split, candidate m counting 2^(m-1); zᵀCz is then a product with the entries of C.
    both = ((2 * code)[:, None] >> (entry // SIZE)[None, :]) & ((2 * code)[:, None] >> (entry % SIZE)[None, :]) & 1
    count = tl.sum((((2 * code)[:, None] >> tl.arange(0, 16)[None, :]) & 1).to(tl.float32), axis=1)
    explained = tl.dot(both.to(tl.float32), values, input_precision="ieee")
    is_split = (code > 0) & (code < (1 << (SIZE - 1)))
    weight = tl.where(is_split, SIZE / (count * (SIZE - count)), 0.0)
    costs = tl.where(is_split[:, None], -explained * weight[:, None], float("inf"))
    lowest = tl.min(costs, axis=0)
    best = tl.min(tl.where(costs <= lowest[None, :] + _TOLERANCE, code[:, None], SPLITS), axis=0)
    candidate = tl.arange(0, PADDED)
    line, column = candidate[None, :, None], candidate[None, None, :]
    place = start[:, None, None] + line * SIZE + column
    is_there = is_group[:, None, None] & (line < SIZE) & (column < SIZE)
    matrix = tl.load(centred + place, mask=is_there, other=0.0)
    is_other = ((2 * best)[:, None] >> candidate[None, :]) & 1
    pull = tl.sum(matrix * is_other.to(tl.float32)[:, None, :], axis=2)
    own_norm = tl.sum(tl.where(line == column, matrix, 0.0), axis=2)
    other_size = tl.sum(is_other.to(tl.float32), axis=1)[:, None]
    is_first_side = (is_other == 0) & (candidate < SIZE)[None, :]
    one = _first_smallest_few(is_first_side, own_norm + 2 * pull / (SIZE - other_size), PADDED)
    other = _first_smallest_few(is_other == 1, own_norm - 2 * pull / other_size, PADDED)
    cosine = tl.load(matrices + place, mask=is_there, other=2.0)
    # Where all distances are NaN nobody is nearest, and neither number need be a candidate's.
    is_pair = is_group & (one < SIZE) & (other < SIZE)
    value = tl.load(matrices + start + one * SIZE + other, mask=is_pair, other=0.0)
    below = tl.minimum(value - _TOLERANCE, 1.0 - _TOLERANCE)
    is_below = (line < column) & (cosine < below[:, None, None])
    rank = 1 + tl.sum(tl.sum(is_below.to(tl.int32), axis=2), axis=1)
    tl.store(picks + group, tl.minimum(one, other), mask=is_group)
    tl.store(picks + groups + group, tl.maximum(one, other), mask=is_group)
    tl.store(picks + 2 * groups + group, rank, mask=is_group)
    tl.store(cosines + group, value, mask=is_group)


@triton.jit
def _first_smallest_few(is_member: tl.tensor, values: tl.tensor, PADDED: tl.constexpr) -> tl.tensor:
    values = tl.where(is_member, values, float("inf"))
    ceiling = tl.min(values, axis=1) + _TOLERANCE
    place = tl.where(is_member & (values <= ceiling[:, None]), tl.arange(0, PADDED)[None, :], PADDED - 1)
    return tl.min(place, axis=1)


@triton.jit
def _members(codes: tl.tensor, BITS: tl.constexpr) -> tl.tensor:
    """Codes (n,) as rows of 16 zeros and ones."""
    bit = tl.arange(0, 16)
    return (((codes[:, None] >> bit[None, :]) & 1) * (bit < BITS)[None, :]).to(tl.float32)


@triton.jit
def _costs(
    low_sums: tl.tensor, low_crossed: tl.tensor, low_count: tl.tensor, low_code: tl.tensor,
    high_code: tl.tensor, high_block: tl.tensor,
    SIZE: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """−explained of the splits (low, high): as `two_means._best_split_numbers`; ∞ for the empty side and no split."""
    high = _members(high_code, HIGH)
    high_sums = tl.sum(tl.dot(high, high_block, input_precision="ieee") * high, axis=1)
    crossed = tl.dot(low_crossed, tl.trans(high), input_precision="ieee")
    count = low_count[:, None] + tl.sum(high, axis=1)[None, :]
    explained = (low_sums[:, None] + high_sums[None, :] + 2 * crossed) * (SIZE / (count * (SIZE - count)))
    is_split = (count > 0) & (low_code < (1 << LOW))[:, None] & (high_code < (1 << HIGH))[None, :]
    return tl.where(is_split, -explained, float("inf"))


@triton.jit
def _split(
    matrices: tl.tensor, centred: tl.tensor, picks: tl.tensor, cosines: tl.tensor, groups: tl.tensor,
    SIZE: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr,
) -> None:  # fmt: skip
    group = tl.program_id(0).to(tl.int64)
    own = centred + group * SIZE * SIZE
    line, column = tl.arange(0, 16)[:, None], tl.arange(0, 16)[None, :]
    low_block = tl.load(own + (1 + line) * SIZE + 1 + column, mask=(line < LOW) & (column < LOW), other=0.0)
    crossing = tl.load(own + (1 + line) * SIZE + 1 + LOW + column, mask=(line < LOW) & (column < HIGH), other=0.0)
    high_block = tl.load(
        own + (1 + LOW + line) * SIZE + 1 + LOW + column, mask=(line < HIGH) & (column < HIGH), other=0.0
    )
    low_code = tl.arange(0, DOWN)
    low = _members(low_code, LOW)
    low_sums = tl.sum(tl.dot(low, low_block, input_precision="ieee") * low, axis=1)
    low_crossed = tl.dot(low, crossing, input_precision="ieee")
    low_count = tl.sum(low, axis=1)
    lowest = tl.full((), float("inf"), tl.float32)
    for start in range(0, 1 << HIGH, ACROSS):
        high_code = start + tl.arange(0, ACROSS)
        costs = _costs(low_sums, low_crossed, low_count, low_code, high_code, high_block, SIZE, LOW, HIGH)
        lowest = tl.minimum(lowest, tl.min(tl.min(costs, axis=1), axis=0))
    best = tl.full((), _NO_KEY, tl.int32)
    for start in range(0, 1 << HIGH, ACROSS):
        high_code = start + tl.arange(0, ACROSS)
        costs = _costs(low_sums, low_crossed, low_count, low_code, high_code, high_block, SIZE, LOW, HIGH)
        codes = tl.where(costs <= lowest + _TOLERANCE, high_code[None, :] * (1 << LOW) + low_code[:, None], _NO_KEY)
        best = tl.minimum(best, tl.min(tl.min(codes, axis=1), axis=0))
    is_there = (line < SIZE) & (column < SIZE)
    matrix = tl.load(own + line * SIZE + column, mask=is_there, other=0.0)
    candidate = tl.arange(0, 16)
    is_other = ((2 * best >> candidate) & 1) == 1
    pull = tl.sum(tl.where(is_other[None, :], matrix, 0.0), axis=1)
    own_norm = tl.sum(tl.where(line == column, matrix, 0.0), axis=1)
    other_size = tl.sum(is_other.to(tl.float32), axis=0)
    first = _first_smallest((candidate < SIZE) & (is_other == 0), own_norm + 2 * pull / (SIZE - other_size))
    second = _first_smallest(is_other, own_norm - 2 * pull / other_size)
    cosine = tl.load(matrices + group * SIZE * SIZE + line * SIZE + column, mask=is_there, other=2.0)
    is_pair = (first < SIZE) & (second < SIZE)  # not where all distances are NaN
    value = tl.load(matrices + group * SIZE * SIZE + first * SIZE + second, mask=is_pair, other=0.0)
    is_below = (line < column) & (cosine < 1.0 - _TOLERANCE) & (cosine < value - _TOLERANCE)
    tl.store(picks + group, tl.minimum(first, second))
    tl.store(picks + groups + group, tl.maximum(first, second))
    tl.store(picks + 2 * groups + group, 1 + tl.sum(tl.sum(is_below.to(tl.int32), axis=1), axis=0))
    tl.store(cosines + group, value)


@triton.jit
def _first_smallest(is_member: tl.tensor, values: tl.tensor) -> tl.tensor:
    values = tl.where(is_member, values, float("inf"))
    ceiling = tl.min(values, axis=0) + _TOLERANCE
    return tl.min(tl.where(is_member & (values <= ceiling), tl.arange(0, 16), 15), axis=0)
