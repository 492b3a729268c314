"""Which two responses of each prompt to label: easy, hard, random and centroid pairs (REAL eq. 8, 9, 12), longest gaps.

Arrays in, arrays out. Knows embeddings, lengths and groups of rows; no prompts, no text, no tables.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.records import Strategy
from models.selection.blocks import Block, Lengths, Positions, checked_groups
from models.selection.draws import content_words, draw_below, mixed, seed_word
from models.selection.records import Reason, SelectedPairs
from models.selection.similarity import TOLERANCE, Floats
from models.selection.two_means import first_smallest, nearest_to_centres


def select_pairs(
    embeddings: Floats,
    offsets: NDArray[np.integer],
    *,
    strategy: Strategy,
    seed: int,
    lengths: NDArray[np.integer] | None = None,
) -> SelectedPairs:
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
    - `longest_gap`: the valid pair whose lengths differ most. It asks no embedding which pair is best: the rival of
      every rule that does.

    Lengths tie where they are equal, values within 4e-6 of the best, four times the largest rounding error measured.
    Ties go to the lower index:
    the first pair in the order (0, 1), (0, 2), ..., (1, 2); the first split in counting order (above 16 candidates: of
    the splits found, and within 1e-6 of what the best explains); the first candidate.
    A group's result depends on its embeddings, its lengths, the strategy and the seed, not on other groups, order or
    batching.

    Args:
        embeddings: (n, d) float16, float32 or float64, raw or normalised; may be a memory map, which is read in blocks.
        offsets: (g + 1,) integers; rows offsets[i] up to offsets[i + 1] are the candidates of group i, 64 at most.
        strategy: which pair to choose.
        seed: read by `random`, and by `centroid` above 16 candidates.
        lengths: (n,) integers, 0 or more, the length of each response in any unit; read by `longest_gap` alone.

    Raises:
        ValueError: if the shapes or types do not fit, the offsets fall or leave the embeddings, a group has more than
            64 candidates, the strategy is unknown, or it needs lengths and there are none.
    """
    if strategy not in _CHOOSERS:
        raise ValueError(f"strategy must be one of {', '.join(_CHOOSERS)}, got {strategy!r}")
    if strategy == "longest_gap" and lengths is None:
        raise ValueError("longest_gap needs the length of each response; pass lengths")
    candidates = checked_groups(embeddings, offsets, lengths if strategy == "longest_gap" else None)
    selected = _nothing_selected(candidates.sizes)
    with np.errstate(over="ignore", invalid="ignore"):
        for groups, block in candidates.blocks():
            _write_block(selected, groups, candidates.starts[groups], block, _CHOOSERS[strategy](block, seed))
    return selected


def _nothing_selected(sizes: Lengths) -> SelectedPairs:
    groups = len(sizes)
    return SelectedPairs(
        first=np.full(groups, -1, np.int64),
        second=np.full(groups, -1, np.int64),
        similarity=np.full(groups, np.nan, np.float32),
        reason=np.where(sizes == 0, Reason.NO_CANDIDATE, Reason.ONE_CANDIDATE).astype(np.uint8),
        rank=np.zeros(groups, np.int32),
        pair_count=np.zeros(groups, np.int32),
    )


def _write_block(
    selected: SelectedPairs,
    groups: Positions,
    starts: Lengths,
    block: Block,
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


def _easy(block: Block, _seed: int) -> Positions:
    return first_smallest(np.where(block.is_valid, block.pairs, np.float32(np.inf)))


def _hard(block: Block, _seed: int) -> Positions:
    return first_smallest(np.where(block.is_valid, -block.pairs, np.float32(np.inf)))


def _random(block: Block, seed: int) -> Positions:
    words = content_words(block.candidates.reshape(len(block.candidates), -1))
    drawn = draw_below(block.pair_count, mixed(words ^ seed_word(seed)))
    position: Positions = (block.is_valid.cumsum(axis=0) > drawn).argmax(axis=0)
    return position


def _centroid(block: Block, seed: int) -> Positions:
    size, groups = block.is_usable.shape
    position = _easy(block, seed)
    usable = block.is_usable.sum(axis=0)
    for count in np.unique(usable[block.pair_count > 0]):
        of_count = np.flatnonzero(usable == count)
        order = np.argsort(~block.is_usable[:, of_count], axis=0, kind="stable")[:count]
        is_whole_block = count == size and len(of_count) == groups
        similarity = block.similarity if is_whole_block else block.similarity[order[:, None], order[None], of_count]
        ends = np.sort(nearest_to_centres(similarity, seed=seed), axis=0)
        first, second = order[ends, np.arange(len(of_count))]
        pair = first * (2 * size - first - 1) // 2 + second - first - 1
        is_valid = block.is_valid[pair, of_count]
        position[of_count[is_valid]] = pair[is_valid]
    return position


def _longest_gap(block: Block, _seed: int) -> Positions:
    position: Positions = np.where(block.is_valid, block.length_gaps, -1).argmax(axis=0)
    return position


_CHOOSERS: dict[str, Callable[[Block, int], Positions]] = {
    "easy": _easy,
    "hard": _hard,
    "random": _random,
    "centroid": _centroid,
    "longest_gap": _longest_gap,
}
