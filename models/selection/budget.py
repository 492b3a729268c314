"""Which of the pairs that exist already get a label: the share of a whole set that similarity or length puts first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.records import Strategy
from models.selection.draws import mixed, seed_word
from models.selection.similarity import Floats


def rank_pairs(
    similarity: Floats,
    *,
    strategy: Strategy,
    share: float,
    seed: int,
    length_gaps: NDArray[np.integer] | None = None,
) -> NDArray[np.int64]:
    """Choose a share of n given pairs by their cosine (REAL, the HH-RLHF setting).

    `easy` takes the least similar pairs, `hard` the most similar, `random` a uniform share drawn from the seed,
    `longest_gap` those whose two responses differ most in length. The share counts all n pairs and is rounded half up,
    at least 1; pairs with NaN are never chosen, so fewer come back where fewer have a similarity. Ties go to the lower
    index.

    Args:
        similarity: (n,) cosines, NaN where a pair has none.
        strategy: `easy`, `hard`, `random` or `longest_gap`.
        share: labels over pairs, in (0, 1].
        seed: read by `random` alone.
        length_gaps: (n,) integers, by how much each pair's lengths differ; read by `longest_gap` alone.

    Returns:
        Sorted (m,) int64 indices into `similarity`; empty if no pair has a similarity.

    Raises:
        ValueError: if the similarity or the gaps are not (n,), the share is outside (0, 1], or the strategy is not one
            of the four.
    """
    if similarity.ndim != 1:
        raise ValueError(f"similarity must be an (n,) array, one value per pair, got shape {similarity.shape}")
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    candidates = np.flatnonzero(~np.isnan(similarity)).astype(np.int64)
    count = max(1, math.floor(share * len(similarity) + 0.5))
    order = np.argsort(_keys(similarity, length_gaps, strategy, seed)[candidates], kind="stable")
    return np.sort(candidates[order[:count]])


def _keys(
    similarity: Floats, length_gaps: NDArray[np.integer] | None, strategy: str, seed: int
) -> Floats | NDArray[np.uint64] | NDArray[np.int64]:
    """(n,) numbers; the smallest are chosen."""
    if strategy == "easy":
        return similarity
    if strategy == "hard":
        return -similarity
    if strategy == "random":
        return mixed(mixed(np.arange(len(similarity), dtype=np.uint64)) ^ seed_word(seed))
    if strategy == "longest_gap":
        if length_gaps is None or length_gaps.shape != similarity.shape:
            got = "none" if length_gaps is None else f"shape {length_gaps.shape}"
            raise ValueError(f"longest_gap needs length_gaps, one for each of the {len(similarity)} pairs, got {got}")
        return -length_gaps.astype(np.int64)
    if strategy == "centroid":
        raise ValueError("centroid chooses among the responses of one prompt; rank given pairs by another strategy")
    raise ValueError(f"strategy must be easy, hard, random or longest_gap, got {strategy!r}")
