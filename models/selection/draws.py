"""Random numbers from a seed and from content, not from a sequence: order and batching cannot change them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]


def mixed(values: UInt64s) -> UInt64s:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014) on each element: uint64 of any shape to uniform uint64."""
    state = values + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def seed_word(seed: int) -> UInt64s:
    """The seed, any Python integer, as a mixed (1,) uint64; seeds equal modulo 2**64 are the same seed."""
    return mixed(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64))


def random_signs(shape: tuple[int, int], *, seed: int) -> NDArray[np.float32]:
    """An array of −1 and +1 that depends on the shape and the seed alone."""
    words = mixed(np.arange(shape[0] * shape[1], dtype=np.uint64) ^ seed_word(seed))
    return np.where(words >> np.uint64(63), np.float32(1), np.float32(-1)).reshape(shape)


def random_subsets(shape: tuple[int, int], *, size: int, seed: int) -> NDArray[np.bool_]:
    """Rows, (m, n) bool, of `size` True each at random places that depend on the shape and the seed alone."""
    words = mixed(np.arange(shape[0] * shape[1], dtype=np.uint64) ^ mixed(seed_word(seed))).reshape(shape)
    is_chosen: NDArray[np.bool_] = words.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") < size
    return is_chosen


def content_words(rows: NDArray[np.float32]) -> UInt64s:
    """Hash the bits of each row: (b, m) float32, C-contiguous, to (b,) uint64. Equal rows give equal words."""
    multipliers = mixed(np.arange(rows.shape[1], dtype=np.uint64)) | np.uint64(1)
    sums: UInt64s = np.einsum("bj,j->b", rows.view(np.uint32), multipliers, dtype=np.uint64, casting="unsafe")
    return mixed(sums)


def draw_below(limits: NDArray[np.integer], words: UInt64s) -> NDArray[np.intp]:
    """One whole number in [0, limit) per word, uniform up to 2**-32 per unit of the limit; limits at most 2**31."""
    return (((words >> np.uint64(32)) * limits.astype(np.uint64)) >> np.uint64(32)).astype(np.intp)
