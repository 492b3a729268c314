"""Which of the pairs that exist already get a label: the share of a whole set that is least or most similar."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.records import Strategy
from models.selection.draws import mixed, seed_word
from models.selection.similarity import Floats


def rank_pairs(similarity: Floats, *, strategy: Strategy, share: float, seed: int) -> NDArray[np.int64]:
    """Choose a share of n given pairs by their cosine (REAL, the HH-RLHF setting).

    `easy` takes the least similar pairs, `hard` the most similar, `random` a uniform share drawn from the seed. The
    share counts all n pairs and is rounded half up, at least 1; pairs with NaN are never chosen, so fewer come back
    where fewer have a similarity. Ties go to the lower index.

    Args:
        similarity: (n,) cosines, NaN where a pair has none.
        strategy: `easy`, `hard` or `random`.
        share: labels over pairs, in (0, 1].
        seed: read by `random` alone.

    Returns:
        Sorted (m,) int64 indices into `similarity`; empty if no pair has a similarity.

    Raises:
        ValueError: if the similarity is not (n,), the share is outside (0, 1], or the strategy is not one of the three.
    """
    if similarity.ndim != 1:
        raise ValueError(f"similarity must be an (n,) array, one value per pair, got shape {similarity.shape}")
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    candidates = np.flatnonzero(~np.isnan(similarity)).astype(np.int64)
    count = max(1, math.floor(share * len(similarity) + 0.5))
    order = np.argsort(_keys(similarity[candidates], candidates, strategy, seed), kind="stable")
    return np.sort(candidates[order[:count]])


def _keys(similarity: Floats, indices: NDArray[np.int64], strategy: str, seed: int) -> Floats | NDArray[np.uint64]:
    if strategy == "easy":
        return similarity
    if strategy == "hard":
        return -similarity
    if strategy == "random":
        return mixed(mixed(indices.astype(np.uint64)) ^ seed_word(seed))
    if strategy == "centroid":
        raise ValueError("centroid chooses among the responses of one prompt; rank given pairs by easy, hard or random")
    raise ValueError(f"strategy must be easy, hard or random, got {strategy!r}")
