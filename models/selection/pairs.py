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
from models.selection.similarity import TOLERANCE, Float32s, Floats
from models.selection.two_means import distances_to_centres, first_smallest


def select_pairs(
    embeddings: Floats,
    offsets: NDArray[np.integer],
    *,
    strategy: Strategy,
    seed: int,
    lengths: NDArray[np.integer] | None = None,
) -> SelectedPairs:
    """Choose the pair worth a label in every group of candidates: the first of `select_several`.

    Raises:
        ValueError: as `select_several`.
    """
    return select_several(embeddings, offsets, strategy=strategy, count=1, seed=seed, lengths=lengths)[0]


def select_several(
    embeddings: Floats,
    offsets: NDArray[np.integer],
    *,
    strategy: Strategy,
    count: int,
    seed: int,
    lengths: NDArray[np.integer] | None = None,
) -> list[SelectedPairs]:
    """Choose the pairs worth a label in every group of candidates, `count` of them or as many as there are.

    They come in turns, no pair twice; two pairs may share a response, and all pairs of a group are dependent. What the
    first turn gives does not depend on `count`.

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

    The next turns of `easy`, `hard` and `longest_gap` follow the same rule over the pairs that are left, those of
    `random` draw among them (without replacement). `centroid` goes on with the pair of one candidate from each cluster
    that is nearest to its centres, by the sum of both squared distances, and when those are used up with the `easy` of
    what is left.

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
        count: how many pairs a group, 1 or more.
        seed: read by `random`, and by `centroid` above 16 candidates.
        lengths: (n,) integers, 0 or more, the length of each response in any unit; read by `longest_gap` alone.

    Raises:
        ValueError: if the shapes or types do not fit, the offsets fall or leave the embeddings, a group has more than
            64 candidates, the count is below 1, the strategy is unknown, or it needs lengths and there are none.

    Returns:
        `count` selections; a group with fewer pairs has none (`Reason.NO_FURTHER_PAIR`) in the later ones.
    """
    if count < 1:
        raise ValueError(f"a group gets at least 1 pair, got count = {count}")
    if strategy not in _CHOOSERS:
        raise ValueError(f"strategy must be one of {', '.join(_CHOOSERS)}, got {strategy!r}")
    if strategy == "longest_gap" and lengths is None:
        raise ValueError("longest_gap needs the length of each response; pass lengths")
    candidates = checked_groups(embeddings, offsets, lengths if strategy == "longest_gap" else None)
    turns = [_nothing_selected(candidates.sizes) for _ in range(count)]
    with np.errstate(over="ignore", invalid="ignore"):
        for groups, block in candidates.blocks():
            positions = _CHOOSERS[strategy](block, seed, min(count, len(block.pairs)))
            for turn, selected in enumerate(turns):
                # A block of few candidates has fewer pairs than turns.
                position = positions[min(turn, len(positions) - 1)]
                _write_block(selected, groups, candidates.starts[groups], block, position, turn=turn)
    return turns


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
    *,
    turn: int,
) -> None:
    usable = block.is_usable.sum(axis=0)
    nothing = np.select(
        [usable == 0, usable == 1, block.pair_count > 0],
        [Reason.NO_USABLE_EMBEDDING, Reason.ONE_USABLE_EMBEDDING, Reason.NO_FURTHER_PAIR],
        default=Reason.ALL_IDENTICAL,
    )
    has_pair = block.pair_count > turn
    first, second = np.triu_indices(len(block.is_usable), 1)
    chosen = block.pairs[position, np.arange(len(groups))]
    is_less_similar = block.is_valid & (block.pairs < chosen - TOLERANCE)
    selected.first[groups] = np.where(has_pair, starts + first[position], -1)
    selected.second[groups] = np.where(has_pair, starts + second[position], -1)
    selected.similarity[groups] = np.where(has_pair, np.maximum(chosen, -1), np.float32(np.nan))
    selected.reason[groups] = np.where(has_pair, Reason.PAIR_CHOSEN, nothing)
    selected.rank[groups] = np.where(has_pair, 1 + is_less_similar.sum(axis=0), 0)
    selected.pair_count[groups] = block.pair_count


def _easy(block: Block, _seed: int, count: int) -> list[Positions]:
    return _smallest_in_turns(np.where(block.is_valid, block.pairs, np.float32(np.inf)), count)


def _hard(block: Block, _seed: int, count: int) -> list[Positions]:
    return _smallest_in_turns(np.where(block.is_valid, -block.pairs, np.float32(np.inf)), count)


def _smallest_in_turns(values: Float32s, count: int) -> list[Positions]:
    """Per column of (P, b) values, which are used up, the smallest, the smallest of the others, and so on."""
    turns = [first_smallest(values)]
    while len(turns) < count:
        values[turns[-1], np.arange(values.shape[1])] = np.inf
        turns.append(first_smallest(values))
    return turns


def _random(block: Block, seed: int, count: int) -> list[Positions]:
    words = mixed(content_words(block.candidates.reshape(len(block.candidates), -1)) ^ seed_word(seed))
    is_left = block.is_valid.copy()
    turns: list[Positions] = []
    while len(turns) < count:
        drawn = draw_below(np.maximum(block.pair_count - len(turns), 0), words)
        turns.append((is_left.cumsum(axis=0) > drawn).argmax(axis=0))
        is_left[turns[-1], np.arange(is_left.shape[1])] = False
        words = mixed(words)
    return turns


def _centroid(block: Block, seed: int, count: int) -> list[Positions]:
    size, groups = block.is_usable.shape
    (position,) = _easy(block, seed, 1)
    costs = np.full(block.pairs.shape if count > 1 else (0, 0), np.inf, np.float32)
    usable = block.is_usable.sum(axis=0)
    for usable_count in np.unique(usable[block.pair_count > 0]):
        of_count = np.flatnonzero(usable == usable_count)
        order = np.argsort(~block.is_usable[:, of_count], axis=0, kind="stable")[:usable_count]
        is_whole_block = usable_count == size and len(of_count) == groups
        similarity = block.similarity if is_whole_block else block.similarity[order[:, None], order[None], of_count]
        distances = distances_to_centres(similarity, seed=seed)
        ends = np.sort([first_smallest(distances[0]), first_smallest(distances[1])], axis=0)
        first, second = order[ends, np.arange(len(of_count))]
        pair = _pair_position(first, second, size)
        is_valid = block.is_valid[pair, of_count]
        position[of_count[is_valid]] = pair[is_valid]
        if count > 1:
            first, second = np.triu_indices(usable_count, 1)
            places = _pair_position(order[first], order[second], size)
            costs[places, of_count] = _across(distances, first, second)
    return [position] if count == 1 else [position, *_next_central(block, costs, position, count - 1)]


def _pair_position(first: Positions, second: Positions, size: int) -> Positions:
    """Where the pair of two candidates is among all pairs of `size` candidates; first < second."""
    return first * (2 * size - first - 1) // 2 + second - first - 1


def _across(distances: tuple[Float32s, Float32s], first: Positions, second: Positions) -> Float32s:
    """Both distances of each pair to its centres, (P, b); ∞ for two of one cluster."""
    to_own, to_other = distances
    sums: Float32s = np.minimum(to_own[first] + to_other[second], to_other[first] + to_own[second])
    return sums


def _next_central(block: Block, costs: Float32s, position: Positions, count: int) -> list[Positions]:
    """The next pairs across the clusters by their distance to the centres, then the least similar of the others."""
    columns = np.arange(costs.shape[1])
    costs = np.where(block.is_valid, costs, np.float32(np.inf))
    similarity = np.where(block.is_valid, block.pairs, np.float32(np.inf))
    turns = [position]
    while len(turns) <= count:
        costs[turns[-1], columns] = similarity[turns[-1], columns] = np.inf
        is_across = np.isfinite(costs).any(axis=0)
        turns.append(np.where(is_across, first_smallest(costs), first_smallest(similarity)))
    return turns[1:]


def _longest_gap(block: Block, _seed: int, count: int) -> list[Positions]:
    gaps = np.where(block.is_valid, block.length_gaps, -1)
    turns: list[Positions] = [gaps.argmax(axis=0)]
    while len(turns) < count:
        gaps[turns[-1], np.arange(gaps.shape[1])] = -1
        turns.append(gaps.argmax(axis=0))
    return turns


_CHOOSERS: dict[str, Callable[[Block, int, int], list[Positions]]] = {
    "easy": _easy,
    "hard": _hard,
    "random": _random,
    "centroid": _centroid,
    "longest_gap": _longest_gap,
}
