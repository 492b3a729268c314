"""Cosine similarities in float32: of all candidates within groups of one size, and of given pairs of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Float32s = NDArray[np.float32]

# Two similarities this close are equal, and candidates this close to similarity 1 point the same way. The largest error
# of a float32 Gram against float64 was 1.0e-6 (d = 64 .. 8192, log-normal scales, common mean, rescaled duplicates).
TOLERANCE = np.float32(4e-6)

# Squared norms below this count as zero: float32 starts to lose digits at 1.2e-38, half of them in the products.
SMALLEST_SQUARED_NORM = np.float32(1e-30)

HALF_EXPONENT = np.int16(0x7C00)
SIGN_EXPONENT_AND_FRACTION = np.int32(0x0FFFE000 - (1 << 31))  # of a half, shifted left by 13 in 32 bits

BLOCK_BYTES = 16 << 20  # float32 candidates held at a time; 4 and 8 MiB are up to 10 % slower for K = 4 and 8


# Dot products row by row beat one small symmetric product per group: 2.0x at K = 4, 1.4x at 8, 1.3x at 12, 0.95x at 16.
DOTS_UP_TO = 12
CACHED_BYTES = 512 << 10


def check_embeddings(embeddings: Floats) -> Floats:
    """The embeddings as a plain view; a memory map stays on disk.

    Raises:
        ValueError: if they are no (n, d) array of float16, float32 or float64 with d >= 1.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] == 0 or embeddings.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(
            "embeddings must be an (n, d) array of float16, float32 or float64 with d >= 1, "
            f"got shape {embeddings.shape} of {embeddings.dtype}; pass one row per response"
        )
    return np.asarray(embeddings)


def as_float32(values: Floats) -> Float32s:
    """The values as C-contiguous float32, exactly; the same array if they are that already.

    numpy takes 1.4 ns to convert a half; shifting its bits into place and scaling by 2^112 takes 0.2 ns. A block with a
    value that is not finite, whose exponent that does not move to where float32 has it, goes the slow way.
    """
    if values.dtype != np.float16:
        return np.ascontiguousarray(values, dtype=np.float32)
    halves = np.ascontiguousarray(values).view(np.int16)
    if not halves.size or (halves & HALF_EXPONENT).max() == HALF_EXPONENT:
        return values.astype(np.float32, order="C")
    bits = halves.astype(np.int32)  # extends the sign: to be kept, unlike its copies between sign and exponent
    bits <<= 13
    bits &= SIGN_EXPONENT_AND_FRACTION
    result: Float32s = bits.view(np.float32)
    result *= np.float32(2**112)  # the exponents' biases differ by 127 − 15; halves below 6e-5 come out exact too
    return result


def group_similarities(candidates: Float32s) -> Float32s:
    """Cosines within each of b groups of K candidates: (b, K, d) to (K, K, b), NaN where an embedding is not usable.

    The Gram matrix is normalised by its own diagonal, so the embeddings are read once and never copied. An embedding is
    not usable if it holds a value that is not finite, or if its squared norm overflows float32 or is below 1e-30. The
    groups are the last axis because all that follows is element by element over groups.
    """
    similarity = _gram(candidates)
    squared_norms = np.einsum("iib->ib", similarity)
    is_usable = (squared_norms >= SMALLEST_SQUARED_NORM) & np.isfinite(squared_norms)
    scale = np.where(is_usable, 1 / np.sqrt(np.where(is_usable, squared_norms, 1)), np.float32(np.nan))
    similarity *= scale
    similarity *= scale[:, None]
    return similarity


def _gram(candidates: Float32s) -> Float32s:
    """Inner products, (b, K, d) to (K, K, b); one BLAS call per group, or per row of a small group."""
    groups, size, dimension = candidates.shape
    if size > DOTS_UP_TO:
        return np.ascontiguousarray((candidates @ candidates.transpose(0, 2, 1)).transpose(1, 2, 0))
    gram = np.empty((size, size, groups), np.float32)
    step = max(1, CACHED_BYTES // (4 * size * dimension))
    for start in range(0, groups, step):
        cached, part = candidates[start : start + step], gram[:, :, start : start + step]
        for i in range(size):
            part[i, i:] = np.vecdot(cached[:, i:], cached[:, i, None]).T
            part[i:, i] = part[i, i:]
    return gram


def pair_similarities(embeddings: Floats, first: NDArray[np.integer], second: NDArray[np.integer]) -> Float32s:
    """Cosine of rows `first[i]` and `second[i]` of (n, d) embeddings: (m,) float32 in [−1, 1].

    NaN where an embedding is not usable (see `group_similarities`) or a row number is −1 (no pair). Embeddings may be
    raw or normalised, of float16, float32 or float64, and a memory map; they are read in blocks.

    Raises:
        ValueError: if the embeddings are no (n, d) floats, the row numbers are not two (m,) arrays, or one is outside.
    """
    embeddings = check_embeddings(embeddings)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"first and second must be two (m,) arrays of row numbers, got {first.shape}, {second.shape}")
    rows = np.stack([first, second]).astype(np.int64)
    if rows.size and (rows.min() < -1 or rows.max() >= len(embeddings)):
        raise ValueError(
            f"row numbers must be −1 (no pair) or below the {len(embeddings)} embeddings, "
            f"got {rows.min()} to {rows.max()}"
        )
    similarity = np.full(rows.shape[1], np.nan, np.float32)
    valid = np.flatnonzero((rows >= 0).all(axis=0))
    step = max(1, BLOCK_BYTES // (8 * embeddings.shape[1]))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for start in range(0, len(valid), step):
            block = valid[start : start + step]
            similarity[block] = _cosines(embeddings[rows[0, block]], embeddings[rows[1, block]])
    return similarity


def _cosines(left: Floats, right: Floats) -> Float32s:
    left, right = as_float32(left), as_float32(right)
    squared_norms = np.einsum("id,id->i", left, left), np.einsum("id,id->i", right, right)
    norms = [np.where(squared >= SMALLEST_SQUARED_NORM, np.sqrt(squared), np.nan) for squared in squared_norms]
    cosines = np.einsum("id,id->i", left, right) / norms[0] / norms[1]
    is_usable = np.isfinite(norms[0]) & np.isfinite(norms[1])
    return np.where(is_usable, np.clip(cosines, -1, 1), np.nan).astype(np.float32)
