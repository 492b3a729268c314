"""Which of the pairs that exist already get a label: the share of a whole set that a strategy puts first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.records import Strategy
from models.selection.asking import Given, StrategyError, StrategyRule
from models.selection.blocks import Block, as_matrix
from models.selection.draws import mixed, seed_word
from models.selection.finding import rule_named
from models.selection.similarity import Floats

PAIRS_AT_ONCE = 1 << 16


def rank_pairs(
    similarity: Floats,
    *,
    strategy: Strategy | StrategyRule,
    share: float,
    seed: int,
    lengths: NDArray[np.integer] | None = None,
) -> NDArray[np.int64]:
    """Choose a share of n given pairs (REAL, the HH-RLHF setting), each a group of two.

    `easy` takes the least similar pairs, `hard` the most similar, `random` a uniform share drawn from the seed,
    `longest_gap` those whose two responses differ most in length, another strategy those to which it gives the smallest
    cost. The share counts all n pairs and is rounded half up, at least 1; pairs with NaN, and those that the strategy
    does not take, are never chosen, so fewer come back where fewer are left. Ties go to the lower index.

    Args:
        similarity: (n,) cosines, NaN where a pair has none.
        strategy: by its name, or a rule (`load_strategies`); it is given no embeddings and nothing of labels.
        share: labels over pairs, in (0, 1].
        seed: read by `random` alone.
        lengths: (n, 2) integers, the lengths of each pair's two responses; where a strategy asks for them.

    Returns:
        Sorted (m,) int64 indices into `similarity`; empty if no pair has a similarity.

    Raises:
        ValueError: if the similarity or the lengths have another shape, the share is outside (0, 1], or the strategy
            chooses among several responses.
        StrategyError: if a strategy fails, or gives what is no order; with the number of the pair.
    """
    if similarity.ndim != 1:
        raise ValueError(f"similarity must be an (n,) array, one value per pair, got shape {similarity.shape}")
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    rule = rule_named(strategy) if isinstance(strategy, str) else strategy
    if rule.needs_several:
        raise ValueError(f"{rule.name} chooses among the responses of one prompt; rank given pairs by another strategy")
    if "lengths" in rule.asks and (lengths is None or lengths.shape != (len(similarity), 2)):
        got = "none" if lengths is None else f"shape {lengths.shape}"
        raise ValueError(f"{rule.name} needs lengths, two for each of the {len(similarity)} pairs, got {got}")
    costs = _costs(similarity, lengths, rule, seed)
    candidates = np.flatnonzero(costs < np.inf).astype(np.int64)
    count = max(1, math.floor(share * len(similarity) + 0.5))
    order = np.argsort(_draws(candidates, seed) if rule.name == "random" else costs[candidates], kind="stable")
    return np.sort(candidates[order[:count]])


def _draws(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """(m,) random words; random pairs have no cost of their own."""
    return mixed(mixed(numbers.astype(np.uint64)) ^ seed_word(seed))


def _costs(similarity: Floats, lengths: NDArray[np.integer] | None, rule: StrategyRule, seed: int) -> Floats:
    """(n,) numbers; the smallest are chosen, ∞ never."""
    costs = np.empty(len(similarity))
    for start in range(0, len(similarity), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        block = _block_of_two(similarity[part], None if lengths is None else lengths[part])
        try:
            (costs[part],) = Given(block, seed=seed).costs(rule, 1)
        except StrategyError as error:
            raise StrategyError(rule.name, start + error.group, error.problem) from error
    return costs


def _block_of_two(similarity: Floats, lengths: NDArray[np.integer] | None) -> Block:
    """Each pair as a group of two, without embeddings."""
    pairs = similarity.astype(np.float32)[None]
    is_valid = ~np.isnan(pairs)
    return Block(
        candidates=np.empty((pairs.shape[1], 2, 0), np.float32),
        similarity=as_matrix(pairs, 2, fill=np.float32(1)),
        is_usable=np.repeat(is_valid, 2, axis=0),
        pairs=pairs,
        is_valid=is_valid,
        pair_count=is_valid[0].astype(np.int32),
        lengths=None if lengths is None else lengths.astype(np.int64).T,
        is_labelled=np.zeros((2, 2, pairs.shape[1]), np.bool_),
    )
