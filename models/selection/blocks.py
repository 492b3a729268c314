"""Groups of candidates as blocks of one size: what a strategy reads of a prompt. Knows no rule of choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.records import MAX_CANDIDATES
from models.selection.similarity import (
    BLOCK_BYTES,
    TOLERANCE,
    Float32s,
    Floats,
    as_float32,
    check_embeddings,
    group_similarities,
)

Positions = NDArray[np.intp]
Lengths = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """b groups of K candidates. A pair is a position among the P = K (K − 1) / 2 in the order (0, 1), (0, 2) ..."""

    candidates: Float32s  # (b, K, d)
    similarity: Float32s  # (K, K, b)
    is_usable: NDArray[np.bool_]  # (K, b)
    pairs: Float32s  # (P, b)
    is_valid: NDArray[np.bool_]  # (P, b)
    pair_count: NDArray[np.int32]  # (b,)
    lengths: Lengths | None  # (K, b)

    @property
    def length_gaps(self) -> Lengths:
        """(P, b): by how much the two responses of each pair differ in length."""
        assert self.lengths is not None  # checked where they enter
        first, second = np.triu_indices(len(self.lengths), 1)
        gaps: Lengths = np.abs(self.lengths[first] - self.lengths[second])
        return gaps


@dataclass(frozen=True, slots=True)
class Groups:
    """Candidates by group: (n, d) embeddings, (n,) lengths or None, and where each of the g groups begins and ends."""

    embeddings: Floats
    lengths: Lengths | None
    starts: Lengths  # (g,)
    sizes: Lengths  # (g,)

    def blocks(self) -> Iterator[tuple[Positions, Block]]:
        """Rising numbers of groups of one size with what they hold, as many at a time as fit `BLOCK_BYTES`.

        Groups of fewer than two candidates, which have no pair, are left out.
        """
        dimension = self.embeddings.shape[1]
        for size in np.unique(self.sizes[self.sizes >= 2]):
            groups = np.flatnonzero(self.sizes == size)
            # the (K, K) matrices count too: with d < K they are what is large
            step = max(1, BLOCK_BYTES // int(4 * size * max(dimension, 4 * size)))
            for start in range(0, len(groups), step):
                part = groups[start : start + step]
                yield part, self._block(self.starts[part], int(size))

    def _block(self, starts: Lengths, size: int) -> Block:
        places = starts[:, None] + np.arange(size)
        if starts[-1] - starts[0] == (len(starts) - 1) * size:  # neighbours: a view where the type allows it
            rows = self.embeddings[starts[0] : starts[-1] + size].reshape(len(starts), size, -1)
        else:
            rows = self.embeddings[places]
        candidates = as_float32(rows)
        similarity = group_similarities(candidates)
        pairs = similarity[np.triu_indices(size, 1)]
        is_valid = pairs < 1 - TOLERANCE  # False for NaN
        return Block(
            candidates=candidates,
            similarity=similarity,
            is_usable=~np.isnan(np.einsum("iib->ib", similarity)),
            pairs=pairs,
            is_valid=is_valid,
            pair_count=is_valid.sum(axis=0, dtype=np.int32),
            lengths=None if self.lengths is None else np.ascontiguousarray(self.lengths[places].T),
        )


def checked_groups(embeddings: Floats, offsets: NDArray[np.integer], lengths: NDArray[np.integer] | None) -> Groups:
    """The candidates by group; a memory map stays on disk.

    Raises:
        ValueError: if the shapes or types do not fit, the offsets fall or leave the embeddings, a length is negative,
            or a group has more than 64 candidates.
    """
    embeddings = check_embeddings(embeddings)
    starts, sizes = _group_bounds(offsets, row_count=len(embeddings))
    if lengths is None:
        return Groups(embeddings, None, starts, sizes)
    if lengths.shape != (len(embeddings),) or not np.issubdtype(lengths.dtype, np.integer):
        raise ValueError(
            f"lengths must be whole numbers, one for each of the {len(embeddings)} embeddings, "
            f"got shape {lengths.shape} of {lengths.dtype}"
        )
    if lengths.min(initial=0) < 0:
        raise ValueError(f"a length is 0 or more, got {lengths.min()}")
    return Groups(embeddings, lengths.astype(np.int64), starts, sizes)


def _group_bounds(offsets: NDArray[np.integer], *, row_count: int) -> tuple[Lengths, Lengths]:
    if offsets.ndim != 1 or len(offsets) == 0 or not np.issubdtype(offsets.dtype, np.integer):
        raise ValueError(f"offsets must be a (groups + 1,) array of integers, got {offsets.shape} of {offsets.dtype}")
    bounds = offsets.astype(np.int64)
    starts, sizes = bounds[:-1], np.diff(bounds)
    if (sizes < 0).any() or bounds[0] < 0 or bounds[-1] > row_count:
        raise ValueError(
            f"offsets must never fall and stay within the {row_count} embeddings, "
            f"got {bounds[0]} to {bounds[-1]} with a smallest step of {sizes.min(initial=0)}"
        )
    if (sizes > MAX_CANDIDATES).any():
        group = int(np.argmax(sizes > MAX_CANDIDATES))
        raise ValueError(
            f"a group may have at most {MAX_CANDIDATES} candidates, group {group} has {sizes[group]}; "
            "lower responses_per_prompt or split the group"
        )
    return starts, sizes
