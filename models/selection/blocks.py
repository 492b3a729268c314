"""Groups of candidates as blocks of one size: what a strategy reads of a prompt. Knows no rule of choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.records import MAX_CANDIDATES
from models.selection.draws import UInt64s, content_words, mixed, seed_word
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
Booleans = NDArray[np.bool_]
# (K, d) embeddings of one group to what is thought of its pairs: (K, K) means and standard deviations of r_i − r_j.
Margins = Callable[[Floats], tuple[NDArray[Any], NDArray[Any]]]
Scalar = TypeVar("Scalar", bound=np.generic)


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
    is_labelled: Booleans  # (K, K, b)
    head: Margins | None = None

    @property
    def known_lengths(self) -> Lengths:
        """(K, b)."""
        assert self.lengths is not None  # checked where they enter
        return self.lengths

    @property
    def length_gaps(self) -> Lengths:
        """(P, b): by how much the two responses of each pair differ in length."""
        first, second = np.triu_indices(len(self.known_lengths), 1)
        gaps: Lengths = np.abs(self.known_lengths[first] - self.known_lengths[second])
        return gaps

    def words(self, seed: int) -> UInt64s:
        """(b,) random words of the seed and what each group holds: groups of equal content have equal ones."""
        return mixed(content_words(self.candidates.reshape(len(self.candidates), -1)) ^ seed_word(seed))

    def margins(self) -> tuple[Floats, Floats] | tuple[None, None]:
        """Means and standard deviations of r_i − r_j, (K, K, b) each; none without a head."""
        if self.head is None:
            return None, None
        known = np.where(np.isfinite(self.candidates), self.candidates, np.float32(0))  # of no valid pair: not read
        both = [self.head(candidates) for candidates in known]
        return np.stack([each[0] for each in both], axis=-1), np.stack([each[1] for each in both], axis=-1)

    def matrix_of(self, of_pairs: NDArray[Scalar], *, fill: Any) -> NDArray[Scalar]:
        """As `as_matrix`."""
        return as_matrix(of_pairs, len(self.is_usable), fill=fill)


def as_matrix(of_pairs: NDArray[Scalar], size: int, *, fill: Any) -> NDArray[Scalar]:
    """What is known of (P, b) pairs as a symmetric (K, K, b), the diagonal filled."""
    matrix = np.full((size, size, of_pairs.shape[1]), fill, of_pairs.dtype)
    first, second = np.triu_indices(size, 1)
    matrix[first, second] = matrix[second, first] = of_pairs
    return matrix


@dataclass(frozen=True, slots=True)
class Groups:
    """Candidates by group: (n, d) embeddings, (n,) lengths or None, and where each of the g groups begins and ends."""

    embeddings: Floats
    lengths: Lengths | None
    starts: Lengths  # (g,)
    sizes: Lengths  # (g,)
    head: Margins | None = None
    labelled: Lengths | None = None  # (m, 2) row numbers

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
                yield part, self._block(part, self.starts[part], int(size))

    def _block(self, groups: Positions, starts: Lengths, size: int) -> Block:
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
            is_labelled=self._labelled_of(groups, size),
            head=self.head,
        )

    def _labelled_of(self, groups: Positions, size: int) -> Booleans:
        """(K, K, b): which pairs have a preference."""
        is_labelled = np.zeros((size, size, len(groups)), np.bool_)
        if self.labelled is not None and len(self.labelled):
            owner = np.searchsorted(self.starts + self.sizes, self.labelled[:, 0], side="right")
            is_here = np.isin(owner, groups)
            first, second = (self.labelled[is_here] - self.starts[owner[is_here], None]).T
            column = np.searchsorted(groups, owner[is_here])
            is_labelled[first, second, column] = is_labelled[second, first, column] = True
        return is_labelled


def checked_groups(
    embeddings: Floats,
    offsets: NDArray[np.integer],
    lengths: NDArray[np.integer] | None,
    *,
    head: Margins | None = None,
    labelled: NDArray[np.integer] | None = None,
) -> Groups:
    """The candidates by group; a memory map stays on disk.

    Raises:
        ValueError: if the shapes or types do not fit, the offsets fall or leave the embeddings, a length is negative,
            or a group has more than 64 candidates.
    """
    embeddings = check_embeddings(embeddings)
    starts, sizes = group_bounds(offsets, row_count=len(embeddings))
    rows = None if labelled is None else labelled.astype(np.int64).reshape(-1, 2)
    if lengths is None:
        return Groups(embeddings, None, starts, sizes, head, rows)
    if lengths.shape != (len(embeddings),) or not np.issubdtype(lengths.dtype, np.integer):
        raise ValueError(
            f"lengths must be whole numbers, one for each of the {len(embeddings)} embeddings, "
            f"got shape {lengths.shape} of {lengths.dtype}"
        )
    if lengths.min(initial=0) < 0:
        raise ValueError(f"a length is 0 or more, got {lengths.min()}")
    return Groups(embeddings, lengths.astype(np.int64), starts, sizes, head, rows)


def group_bounds(offsets: NDArray[np.integer], *, row_count: int) -> tuple[Lengths, Lengths]:
    """Where the groups of (g + 1,) offsets begin, and their sizes, (g,) each.

    Raises:
        ValueError: as `checked_groups`.
    """
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
