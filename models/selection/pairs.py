"""Which two responses of each prompt to label: easy, hard, random and centroid pairs (REAL eq. 8, 9, 12).

Arrays in, arrays out. Knows embeddings and groups of rows; no prompts, no text, no tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.records import MAX_CANDIDATES, Strategy
from models.selection.draws import content_words, draw_below, mixed, seed_word
from models.selection.records import Reason, SelectedPairs
from models.selection.similarity import (
    BLOCK_BYTES,
    TOLERANCE,
    Float32s,
    Floats,
    as_float32,
    check_embeddings,
    group_similarities,
)
from models.selection.two_means import first_smallest, nearest_to_centres

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Block:
    """b groups of K candidates. A pair is a position among the P = K (K − 1) / 2 in the order (0, 1), (0, 2) ..."""

    candidates: Float32s  # (b, K, d)
    similarity: Float32s  # (K, K, b)
    is_usable: NDArray[np.bool_]  # (K, b)
    pairs: Float32s  # (P, b)
    is_valid: NDArray[np.bool_]  # (P, b)
    pair_count: NDArray[np.int32]  # (b,)
    seed: int


def select_pairs(embeddings: Floats, offsets: NDArray[np.integer], *, strategy: Strategy, seed: int) -> SelectedPairs:
    """Choose the pair worth a label in every group of candidates.

    A pair is valid if both embeddings are usable (finite, squared norm in float32 from 1e-30 to below overflow) and
    their cosine, computed in float32, is below 1 − 4e-6: responses that point the same way are never paired.

    - `easy`: the least similar valid pair (REAL eq. 9); `hard`: the most similar one (REAL eq. 8).
    - `random`: a uniform valid pair, drawn from the seed and a hash of the group's embeddings as float32: groups of
      equal content draw alike.
    - `centroid`: 2-means over the normalised usable embeddings (REAL eq. 12); the candidate nearest each centre, within
      its own cluster (the authors' code also looks outside it and can name one response twice). The optimum up to 16
      usable candidates; above, the best of a seeded search, never worse than scikit-learn's KMeans(2, random_state=0).
      Identical candidates keep their weight. Should the two be no valid pair, which only a group of nearly identical
      candidates allows, the group gets its `easy` pair.

    Values within 4e-6 of the best, four times the largest rounding error measured, are ties and go to the lower index:
    the first pair in the order (0, 1), (0, 2), ..., (1, 2); the first split in counting order (above 16 candidates: of
    the splits found, and within 1e-6 of what the best explains); the first candidate.
    A group's result depends on its embeddings, the strategy and the seed, not on other groups, order or batching.

    Args:
        embeddings: (n, d) float16, float32 or float64, raw or normalised; may be a memory map, which is read in blocks.
        offsets: (g + 1,) integers; rows offsets[i] up to offsets[i + 1] are the candidates of group i, 64 at most.
        strategy: which pair to choose.
        seed: read by `random`, and by `centroid` above 16 candidates.

    Raises:
        ValueError: if the shapes or types do not fit, the offsets fall or leave the embeddings, a group has more than
            64 candidates, or the strategy is unknown.
    """
    if strategy not in _CHOOSERS:
        raise ValueError(f"strategy must be one of {', '.join(_CHOOSERS)}, got {strategy!r}")
    embeddings = check_embeddings(embeddings)
    starts, sizes = _group_bounds(offsets, row_count=len(embeddings))
    selected = _nothing_selected(sizes)
    with np.errstate(over="ignore", invalid="ignore"):
        for groups in _blocks(sizes, dimension=embeddings.shape[1]):
            block = _read_block(embeddings, starts[groups], int(sizes[groups[0]]), seed=seed)
            _write_block(selected, groups, starts[groups], block, _CHOOSERS[strategy](block))
    return selected


def _group_bounds(offsets: NDArray[np.integer], *, row_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


def _nothing_selected(sizes: NDArray[np.int64]) -> SelectedPairs:
    groups = len(sizes)
    return SelectedPairs(
        first=np.full(groups, -1, np.int64),
        second=np.full(groups, -1, np.int64),
        similarity=np.full(groups, np.nan, np.float32),
        reason=np.where(sizes == 0, Reason.NO_CANDIDATE, Reason.ONE_CANDIDATE).astype(np.uint8),
        rank=np.zeros(groups, np.int32),
        pair_count=np.zeros(groups, np.int32),
    )


def _blocks(sizes: NDArray[np.int64], *, dimension: int) -> Iterator[Positions]:
    """Rising numbers of groups of one size, as many at a time as fit `BLOCK_BYTES` of float32 embeddings."""
    for size in np.unique(sizes[sizes >= 2]):
        groups = np.flatnonzero(sizes == size)
        # the (K, K) matrices count too: with d < K they are what is large
        step = max(1, BLOCK_BYTES // int(4 * size * max(dimension, 4 * size)))
        yield from (groups[start : start + step] for start in range(0, len(groups), step))


def _read_block(embeddings: Floats, starts: NDArray[np.int64], size: int, *, seed: int) -> _Block:
    if starts[-1] - starts[0] == (len(starts) - 1) * size:  # neighbours: a view where the type allows it
        rows = embeddings[starts[0] : starts[-1] + size].reshape(len(starts), size, -1)
    else:
        rows = embeddings[starts[:, None] + np.arange(size)]
    candidates = as_float32(rows)
    similarity = group_similarities(candidates)
    pairs = similarity[np.triu_indices(size, 1)]
    is_valid = pairs < 1 - TOLERANCE  # False for NaN
    is_usable = ~np.isnan(np.einsum("iib->ib", similarity))
    return _Block(candidates, similarity, is_usable, pairs, is_valid, is_valid.sum(axis=0, dtype=np.int32), seed)


def _write_block(
    selected: SelectedPairs,
    groups: Positions,
    starts: NDArray[np.int64],
    block: _Block,
    position: Positions,
) -> None:
    usable = block.is_usable.sum(axis=0)
    nothing = np.select(
        [usable == 0, usable == 1],
        [Reason.NO_USABLE_EMBEDDING, Reason.ONE_USABLE_EMBEDDING],
        default=Reason.ALL_IDENTICAL,
    )
    has_pair = block.pair_count > 0
    first, second = np.triu_indices(len(block.is_usable), 1)
    chosen = block.pairs[position, np.arange(len(groups))]
    is_less_similar = block.is_valid & (block.pairs < chosen - TOLERANCE)
    selected.first[groups] = np.where(has_pair, starts + first[position], -1)
    selected.second[groups] = np.where(has_pair, starts + second[position], -1)
    selected.similarity[groups] = np.where(has_pair, np.maximum(chosen, -1), np.float32(np.nan))
    selected.reason[groups] = np.where(has_pair, Reason.PAIR_CHOSEN, nothing)
    selected.rank[groups] = np.where(has_pair, 1 + is_less_similar.sum(axis=0), 0)
    selected.pair_count[groups] = block.pair_count


def _easy(block: _Block) -> Positions:
    return first_smallest(np.where(block.is_valid, block.pairs, np.float32(np.inf)))


def _hard(block: _Block) -> Positions:
    return first_smallest(np.where(block.is_valid, -block.pairs, np.float32(np.inf)))


def _random(block: _Block) -> Positions:
    words = content_words(block.candidates.reshape(len(block.candidates), -1))
    drawn = draw_below(block.pair_count, mixed(words ^ seed_word(block.seed)))
    position: Positions = (block.is_valid.cumsum(axis=0) > drawn).argmax(axis=0)
    return position


def _centroid(block: _Block) -> Positions:
    size, groups = block.is_usable.shape
    position = _easy(block)
    usable = block.is_usable.sum(axis=0)
    for count in np.unique(usable[block.pair_count > 0]):
        of_count = np.flatnonzero(usable == count)
        order = np.argsort(~block.is_usable[:, of_count], axis=0, kind="stable")[:count]
        is_whole_block = count == size and len(of_count) == groups
        similarity = block.similarity if is_whole_block else block.similarity[order[:, None], order[None], of_count]
        ends = np.sort(nearest_to_centres(similarity, seed=block.seed), axis=0)
        first, second = order[ends, np.arange(len(of_count))]
        pair = first * (2 * size - first - 1) // 2 + second - first - 1
        is_valid = block.is_valid[pair, of_count]
        position[of_count[is_valid]] = pair[is_valid]
    return position


_CHOOSERS: dict[str, Callable[[_Block], Positions]] = {
    "easy": _easy,
    "hard": _hard,
    "random": _random,
    "centroid": _centroid,
}
