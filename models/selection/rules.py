"""The strategies that are shipped: easy, hard, centroid (REAL eq. 9, 8, 12), their baselines, and one that learns.

Each is a function of the arrays that it asks for, over many groups at once (`models.selection.asking`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.selection.asking import StrategyRule
from models.selection.blocks import Lengths, Positions, as_matrix
from models.selection.draws import UInt64s, draw_below, mixed
from models.selection.similarity import TOLERANCE, Float32s, Floats
from models.selection.two_means import distances_to_centres, first_smallest

Booleans = NDArray[np.bool_]
ALIKE_SHARE = (2, 7)  # of the valid pairs, rounded up: 8 of the 28 that 8 candidates have


def easy(similarity: Float32s) -> Float32s:
    """The least similar pair of the prompt: the lowest cosine of two embeddings (REAL eq. 9)."""
    return similarity


def hard(similarity: Float32s) -> Float32s:
    """The most similar pair of the prompt that is not identical: the highest cosine (REAL eq. 8)."""
    return -similarity


def random(is_valid: Booleans, group_seed: UInt64s, count: int) -> Floats:
    """Any two different responses, every pair equally likely: the baseline."""
    return as_matrix(_drawn(_of_pairs(is_valid), group_seed, count), len(is_valid), fill=np.inf)


def longest_gap(lengths: Lengths) -> Floats:
    """The two responses that differ most in length, whatever they say: the rival of dissimilarity."""
    gaps: Floats = np.abs(lengths[:, None] - lengths[None]).astype(np.float64)
    return -gaps


def closest_lengths_easy(similarity: Float32s, lengths: Lengths, is_valid: Booleans) -> Floats:
    """The least similar among the pairs of most alike length, two of seven: what similarity is worth without length."""
    is_pair = _of_pairs(is_valid)
    first, second = np.triu_indices(len(is_valid), 1)
    shorter, longer = np.minimum(lengths[first], lengths[second]), np.maximum(lengths[first], lengths[second])
    ratio = np.where(shorter == longer, 1.0, longer / np.where(shorter, shorter, np.nan))
    ratio = np.where(is_pair, np.nan_to_num(ratio, nan=np.inf), np.inf)
    places = np.where(is_pair, ratio, np.inf).argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    share, of = ALIKE_SHARE
    is_alike = places < -(-share * is_pair.sum(axis=0) // of)
    # A cosine is below 4, so that the others come after: easy goes on with them.
    costs = similarity[first, second].astype(np.float64) + np.where(is_alike, 0.0, 4.0)
    return as_matrix(costs, len(is_valid), fill=np.inf)


def centroid(similarity: Float32s, is_valid: Booleans, seed: int, count: int) -> Floats:
    """The prompt’s embeddings in two clusters: the response nearest each cluster’s mean (REAL eq. 12)."""
    size, _, groups = similarity.shape
    is_pair, is_usable = _of_pairs(is_valid), ~np.isnan(np.einsum("iib->ib", similarity))
    pairs = np.where(is_pair, similarity[np.triu_indices(size, 1)], np.float32(np.inf))
    position = first_smallest(pairs)  # easy's, should the two central ones be no valid pair
    costs = np.full(pairs.shape if count > 1 else (0, 0), np.inf, np.float32)
    usable = is_usable.sum(axis=0)
    for usable_count in np.unique(usable[is_pair.any(axis=0)]):
        of_count = np.flatnonzero(usable == usable_count)
        order = np.argsort(~is_usable[:, of_count], axis=0, kind="stable")[:usable_count]
        is_whole_block = usable_count == size and len(of_count) == groups
        part = similarity if is_whole_block else similarity[order[:, None], order[None], of_count]
        distances = distances_to_centres(part, seed=seed)
        ends = np.sort([first_smallest(distances[0]), first_smallest(distances[1])], axis=0)
        first, second = order[ends, np.arange(len(of_count))]
        pair = _pair_position(first, second, size)
        is_there = is_pair[pair, of_count]
        position[of_count[is_there]] = pair[is_there]
        if count > 1:
            first, second = np.triu_indices(usable_count, 1)
            costs[_pair_position(order[first], order[second], size), of_count] = _across(distances, first, second)
    turns = [position] if count == 1 else [position, *_next_central(is_pair, pairs, costs, position, count - 1)]
    return as_matrix(_in_turns(turns, is_pair), size, fill=np.inf)


def max_min_lcb(
    margins: Floats | None,
    deviations: Floats | None,
    is_valid: Booleans,
    is_labelled: Booleans,
    group_seed: UInt64s,
    count: int,
) -> Floats:
    """The response whose worst rival is least certain to beat it, with that rival; random pairs below 25 labels.

    i = argmax_i min_j (μ_ij − σ_ij), j that minimum (MaxMinLCB, Verma et al. 2024, with one standard deviation), over
    the valid pairs without a preference; the next pairs by the same rule over those that are left.
    """
    size = len(is_valid)
    is_open = is_valid & ~is_labelled
    if margins is None or deviations is None:
        return as_matrix(_drawn(_of_pairs(is_open), group_seed, count), size, fill=np.inf)
    bounds = np.where(is_open, margins - deviations, np.inf)
    columns, is_pair = np.arange(bounds.shape[2]), _of_pairs(is_open)
    turns: list[Positions] = []
    while len(turns) < min(count, len(is_pair)):
        least = bounds.min(axis=1)
        best = np.where(np.isinf(least), -np.inf, least).argmax(axis=0)
        rival = bounds[best, :, columns].argmin(axis=1)
        # Where no pair is left, both are candidate 0: any position does.
        position = _pair_position(np.minimum(best, rival), np.maximum(best, rival), size)
        turns.append(np.clip(position, 0, len(is_pair) - 1))
        bounds[best, rival, columns] = bounds[rival, best, columns] = np.inf
    return as_matrix(_in_turns(turns, is_pair), size, fill=np.inf)


def _of_pairs(matrix: Booleans) -> Booleans:
    """(K, K, b) to (P, b)."""
    return matrix[np.triu_indices(len(matrix), 1)]


def _in_turns(turns: list[Positions], is_pair: Booleans) -> Floats:
    """(P, b) costs of pairs that were found one after the other; what was not found follows; ∞ for no pair."""
    costs = np.where(is_pair, float(len(turns)), np.inf)
    counts = is_pair.sum(axis=0)
    for turn, position in enumerate(turns):
        columns = np.flatnonzero(counts > turn)
        costs[position[columns], columns] = turn
    return costs


def _drawn(is_pair: Booleans, words: UInt64s, count: int) -> Floats:
    """(P, b) costs of pairs drawn without replacement."""
    is_left, counts = is_pair.copy(), is_pair.sum(axis=0)
    turns: list[Positions] = []
    while len(turns) < min(count, len(is_pair)):
        drawn = draw_below(np.maximum(counts - len(turns), 0), words)
        turns.append((is_left.cumsum(axis=0) > drawn).argmax(axis=0))
        is_left[turns[-1], np.arange(is_left.shape[1])] = False
        words = mixed(words)
    return _in_turns(turns, is_pair)


def _pair_position(first: Positions, second: Positions, size: int) -> Positions:
    """Where the pair of two candidates is among all pairs of `size` candidates; first < second."""
    return first * (2 * size - first - 1) // 2 + second - first - 1


def _across(distances: tuple[Float32s, Float32s], first: Positions, second: Positions) -> Float32s:
    """Both distances of each pair to its centres, (P, b); ∞ for two of one cluster."""
    to_own, to_other = distances
    sums: Float32s = np.minimum(to_own[first] + to_other[second], to_other[first] + to_own[second])
    return sums


def _next_central(
    is_pair: Booleans, similarity: Float32s, costs: Float32s, position: Positions, count: int
) -> list[Positions]:
    """The next pairs across the clusters by their distance to the centres, then the least similar of the others."""
    columns = np.arange(costs.shape[1])
    costs, similarity = np.where(is_pair, costs, np.float32(np.inf)), similarity.copy()
    turns = [position]
    while len(turns) <= count:
        costs[turns[-1], columns] = similarity[turns[-1], columns] = np.inf
        is_across = np.isfinite(costs).any(axis=0)
        turns.append(np.where(is_across, first_smallest(costs), first_smallest(similarity)))
    return turns[1:]


def _shipped() -> dict[str, StrategyRule]:
    """The table, in the order in which they are shown."""
    by_cosine = {"easy": easy, "hard": hard, "closest_lengths_easy": closest_lengths_easy}
    several = {"centroid", "closest_lengths_easy", "max_min_lcb"}
    functions = (easy, hard, centroid, random, longest_gap, closest_lengths_easy, max_min_lcb)
    return {
        function.__name__: StrategyRule(
            function.__name__,
            function,
            over_groups=True,
            needs_several=function.__name__ in several,
            tolerance=float(TOLERANCE) if function.__name__ in by_cosine else 0.0,
            meaning=(function.__doc__ or "").splitlines()[0],
        )
        for function in functions
    }


SHIPPED = _shipped()
