"""Which responses of each prompt to label together: the pairs of several strategies, from one matrix of similarities.

Arrays in, arrays out. Knows embeddings, lengths and groups of rows; no prompts, no text, no tables. What a strategy is
stands in `models.selection.asking`, the shipped ones in `models.selection.rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.records import Strategy
from models.selection.asking import Given, StrategyError, StrategyRule
from models.selection.blocks import Block, Booleans, Lengths, Margins, Positions, checked_groups
from models.selection.finding import rule_named
from models.selection.fused import is_fused, select_fused
from models.selection.length_correlation import block_correlations
from models.selection.records import Reason, SelectedPairs, nothing_selected
from models.selection.similarity import TOLERANCE, Floats
from models.selection.two_means import first_smallest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Selection:
    """What several strategies selected of the same groups.

    Attributes:
        turns: strategy -> its selections, one a turn; a group with fewer pairs has none in the later ones.
        length_correlations: (g,) as `models.selection.length_correlations`; None without lengths.
    """

    turns: dict[Strategy, list[SelectedPairs]]
    length_correlations: NDArray[np.float64] | None


def select_pairs(
    embeddings: Floats | Tensor,
    offsets: NDArray[np.integer],
    *,
    strategy: Strategy,
    seed: int,
    lengths: NDArray[np.integer] | None = None,
) -> SelectedPairs:
    """Choose the pair worth a label in every group of candidates: the first of `select_several` for one strategy.

    Raises:
        ValueError: as `select_several`.
    """
    return select_several(embeddings, offsets, strategies=(strategy,), seed=seed, lengths=lengths).turns[strategy][0]


def select_several(
    embeddings: Floats | Tensor,
    offsets: NDArray[np.integer],
    *,
    strategies: Sequence[Strategy | StrategyRule],
    seed: int,
    count: int = 1,
    is_disjoint: bool = False,
    lengths: NDArray[np.integer] | None = None,
    head: Margins | None = None,
    labelled: NDArray[np.integer] | None = None,
) -> Selection:
    """Choose the pairs worth a label in every group of candidates, `count` by each strategy or as many as there are.

    The similarities of a group are computed once for all strategies. The pairs of one come in turns, none twice; two
    may share a response unless they are to be disjoint, and all pairs of a group are dependent. What the first turn
    gives does not depend on `count`.

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
    - `closest_lengths_easy`: the least similar of the ⌈2V / 7⌉ pairs, of V valid ones, with the smallest ratio of the
      longer to the shorter: 8 of 28.
    - `max_min_lcb`: i = argmax_i min_j (μ_ij − σ_ij) and that j, over valid pairs that have no preference; random ones
      of these without a head.

    The next turns of all follow the same rule over the pairs that are left; `random` draws without replacement.
    `centroid` goes on with the pair of one candidate from each cluster that is nearest to its centres, by the sum of
    both squared distances, and when those are used up, as `closest_lengths_easy` after its share, with the `easy` of
    what is left.

    Cosines tie within 4e-6 of the best, four times the largest rounding error measured; all else where it is equal.
    Ties go to the lower index:
    the first pair in the order (0, 1), (0, 2), ..., (1, 2); the first split in counting order (above 16 candidates: of
    the splits found, and within 1e-6 of what the best explains); the first candidate.
    A group's result depends on its own rows, the strategy and the seed, not on other groups, order, batching or which
    other strategies are asked for; only that `easy`, `hard` and `centroid` alone, one pair each, are chosen by compiled
    code where there are many embeddings (`models.selection.fused`), whose cosines are other in the last digits.

    Args:
        embeddings: (n, d) float16, float32 or float64, raw or normalised; may be a memory map, which is read in blocks.
            A tensor on a GPU stays there for one pair a group by easy, hard or centroid (up to 16 candidates), without
            lengths; all else is copied to the host.
        offsets: (g + 1,) integers; rows offsets[i] up to offsets[i + 1] are the candidates of group i, 64 at most.
        strategies: which pairs to choose: names of shipped or installed ones, or rules (`load_strategies`).
        seed: read by `random`, and by `centroid` above 16 candidates.
        count: how many pairs a group, 1 or more.
        is_disjoint: whether no response may be in two pairs of a group and strategy.
        lengths: (n,) integers, 0 or more, the length of each response in any unit.
        head: what the labels so far say of a group's pairs.
        labelled: (m, 2) row numbers of one group each: pairs that have a preference.

    Raises:
        ValueError: if the shapes or types do not fit, the offsets fall or leave the embeddings, a group has more than
            64 candidates, the count is below 1, a strategy is unknown, or it needs lengths and there are none.
        StrategyError: if a strategy fails, or gives what is no order; with the number of the group.
    """
    if not isinstance(embeddings, np.ndarray):
        import torch

        from models.selection import on_device

        names = [name for name in strategies if isinstance(name, str)]
        is_plain = count == 1 and lengths is None and len(names) == len(strategies)
        if is_plain and on_device.has_kernels(embeddings, names):
            centroid = partial(select_pairs, strategy="centroid", seed=seed)
            with torch.cuda.device(embeddings.device):  # kernels start on the current one
                found = on_device.select_tensors(embeddings, offsets, names, centroid=centroid)
            return Selection({name: [pairs] for name, pairs in found.items()}, None)
        embeddings = on_device.as_array(embeddings)
    if count < 1:
        raise ValueError(f"a group gets at least 1 pair, got count = {count}")
    rules = [rule_named(each) if isinstance(each, str) else each for each in strategies]
    if lengths is None and (missing := [rule.name for rule in rules if "lengths" in rule.asks]):
        raise ValueError(f"{missing[0]} needs the length of each response; pass lengths")
    candidates = checked_groups(embeddings, offsets, lengths, head=head, labelled=labelled)
    turns = {rule.name: [nothing_selected(candidates.sizes) for _ in range(count)] for rule in rules}
    correlations = None if lengths is None else np.full(len(candidates.sizes), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        if count == 1 and is_fused(candidates, rules):
            select_fused(candidates, [(rule, turns[rule.name][0]) for rule in rules], seed=seed)
            return Selection(turns, None)
        for groups, block in candidates.blocks():
            given = Given(block, seed=seed)
            for rule in rules:
                try:
                    chosen = _in_turns(given, rule, min(count, len(block.pairs)), is_disjoint=is_disjoint)
                except StrategyError as error:
                    raise StrategyError(rule.name, int(groups[error.group]), error.problem) from error
                for turn, selected in enumerate(turns[rule.name]):
                    # A block of few candidates has fewer pairs than turns.
                    position, is_there = chosen[turn] if turn < len(chosen) else (chosen[-1][0], np.False_)
                    _write_block(selected, groups, candidates.starts[groups], block, position, is_there)
            if correlations is not None:
                correlations[groups] = block_correlations(block)
    return Selection(turns, correlations)


def _in_turns(given: Given, rule: StrategyRule, count: int, *, is_disjoint: bool) -> list[tuple[Positions, Booleans]]:
    """The cheapest pair, the cheapest of those left, and so on: (b,) positions, and whether there is one."""
    size = len(given.block.is_usable)
    # A pair that is taken keeps 2K − 4 others out, so that a disjoint one is found among so many.
    asked = min((count - 1) * (2 * size - 3) + 1, len(given.block.pairs)) if is_disjoint else count
    costs = given.costs(rule, asked)
    tolerance = costs.dtype.type(rule.tolerance)
    columns = np.arange(costs.shape[1])
    first, second = np.triu_indices(size, 1)
    turns = []
    for turn in range(count):
        position = first_smallest(costs, tolerance)
        turns.append((position, costs[position, columns] < np.inf))
        if turn + 1 == count:
            break
        costs[position, columns] = np.inf
        if is_disjoint:
            ends = first[position], second[position]
            is_shared = [one[:, None] == end for one in (first, second) for end in ends]
            costs[np.logical_or.reduce(is_shared)] = np.inf
    return turns


def _write_block(
    selected: SelectedPairs,
    groups: Positions,
    starts: Lengths,
    block: Block,
    position: Positions,
    has_pair: Booleans | np.bool_,
) -> None:
    usable = block.is_usable.sum(axis=0)
    nothing = np.select(
        [usable == 0, usable == 1, block.pair_count > 0],
        [Reason.NO_USABLE_EMBEDDING, Reason.ONE_USABLE_EMBEDDING, Reason.NO_FURTHER_PAIR],
        default=Reason.ALL_IDENTICAL,
    )
    first, second = np.triu_indices(len(block.is_usable), 1)
    chosen = block.pairs[position, np.arange(len(groups))]
    is_less_similar = block.is_valid & (block.pairs < chosen - TOLERANCE)
    selected.first[groups] = np.where(has_pair, starts + first[position], -1)
    selected.second[groups] = np.where(has_pair, starts + second[position], -1)
    selected.similarity[groups] = np.where(has_pair, np.maximum(chosen, -1), np.float32(np.nan))
    selected.reason[groups] = np.where(has_pair, Reason.PAIR_CHOSEN, nothing)
    selected.rank[groups] = np.where(has_pair, 1 + is_less_similar.sum(axis=0), 0)
    selected.pair_count[groups] = block.pair_count
