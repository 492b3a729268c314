"""Does similarity follow length? The rank correlation of pairs' cosine with the gap between their lengths.

Where the two go together, a selection by similarity is in part one by length, and may owe its gain to length alone.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, Interval, clustered_mean
from models.selection.blocks import checked_groups
from models.selection.similarity import Floats

NORMAL_QUANTILE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def length_correlations(
    embeddings: Floats, offsets: NDArray[np.integer], lengths: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Spearman's correlation of cosine and length gap over the valid pairs of each group: (g,) in [−1, 1].

    Within a group, because that is where `select_pairs` chooses: what differs between prompts moves no choice. Equal
    values share their mean rank. NaN where a group has fewer than two valid pairs, or all of its gaps or all of its
    cosines are equal. Arguments, valid pairs and errors are those of `select_pairs`.
    """
    candidates = checked_groups(embeddings, offsets, lengths)
    correlations = np.full(len(candidates.sizes), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        for groups, block in candidates.blocks():
            correlations[groups] = _spearman(block.pairs, block.length_gaps, block.is_valid)
    return correlations


def mean_correlation(correlations: NDArray[np.float64]) -> Interval | None:
    """The mean over groups with its t interval, cut to [−1, 1]; every group counts the same.

    Args:
        correlations: (g,), NaN where a group has none; such a group is left out. None comes back if all are.
    """
    known = correlations[~np.isnan(correlations)]
    return _within_bounds(clustered_mean(known, np.arange(len(known)))) if len(known) else None


def correlation_of_pairs(similarity: Floats, length_gaps: NDArray[np.integer]) -> Interval | None:
    """Spearman's correlation of cosine and length gap over n given pairs: what `rank_pairs` chooses among.

    The interval is that of Fisher's z with the variance (1 + ρ² / 2) / (n − 3) (Bonett and Wright 2000); it takes the
    pairs for independent, and a perfect order for one with two neighbours swapped. Below four pairs it is [−1, 1].

    Args:
        similarity: (n,) cosines; NaN where a pair has none, which is then left out.
        length_gaps: (n,) integers. None comes back where the correlation is not defined, as in `length_correlations`.
    """
    is_known = ~np.isnan(similarity)
    value = float(_spearman(similarity[:, None], length_gaps[:, None], is_known[:, None])[0])
    count = int(is_known.sum())
    if math.isnan(value):
        return None
    if count <= 3:
        return Interval(value, -1.0, 1.0)
    half = NORMAL_QUANTILE * math.sqrt((1 + value**2 / 2) / (count - 3))
    one_swap = 1 - 12 / (count**3 - count)  # next to 1, whose z is infinite: few pairs in order prove little
    z = math.atanh(max(-one_swap, min(one_swap, value)))
    return Interval(value, min(value, math.tanh(z - half)), max(value, math.tanh(z + half)))


def _within_bounds(interval: Interval) -> Interval:
    return Interval(*(max(-1.0, min(1.0, bound)) for bound in interval))


def _spearman(similarity: Floats, length_gaps: NDArray[np.integer], is_valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Down the columns of three (P, b) arrays, over the valid entries alone: (b,)."""
    similarity_ranks = _centred_ranks(similarity.astype(np.float64), is_valid)
    gap_ranks = _centred_ranks(length_gaps.astype(np.float64), is_valid)
    product = (similarity_ranks * gap_ranks).sum(axis=0)
    scale = np.sqrt((similarity_ranks**2).sum(axis=0) * (gap_ranks**2).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return np.clip(np.where(scale > 0, product / scale, np.nan), -1, 1)


def _centred_ranks(values: NDArray[np.float64], is_valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean ranks less their mean down each column; 0 where an entry is not valid."""
    from scipy.stats import rankdata  # slow to load, and who only selects needs none

    # What is not valid is ranked last, behind every valid entry, and so changes no valid rank.
    ranks = rankdata(np.where(is_valid, values, np.inf), axis=0)
    # Ranks with ties shared have the mean (m + 1) / 2, whatever the ties.
    return np.where(is_valid, ranks - (is_valid.sum(axis=0) + 1) / 2, 0.0)
