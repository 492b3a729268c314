"""Does similarity follow length? The rank correlation of pairs' cosine with the gap between their lengths.

Where the two go together, a selection by similarity is in part one by length, and may owe its gain to length alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, Interval, ratio
from models.ranks import mean_ranks
from models.selection.blocks import Block, checked_groups
from models.selection.similarity import Floats


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
            correlations[groups] = block_correlations(block)
    return correlations


def block_correlations(block: Block) -> NDArray[np.float64]:
    """The same of the groups of one block, (b,); it must know lengths."""
    return _spearman(block.pairs, block.length_gaps, block.is_valid)


def mean_correlation(correlations: NDArray[np.float64]) -> Interval | None:
    """The mean over groups with its 95 % interval; every group counts the same.

    The interval is the t interval of the groups' correlations with +1 and −1 as two further groups, cut to [−1, 1]: few
    groups that happen to agree prove little, and two pairs cannot but correlate by ±1.

    Args:
        correlations: (g,), NaN where a group has none; such a group is left out. None comes back if all are.
    """
    known = correlations[~np.isnan(correlations)]
    if not len(known):
        return None
    return _with_both_signs(known, np.ones(len(known)))


def correlation_of_pairs(
    similarity: Floats, length_gaps: NDArray[np.integer], clusters: NDArray[np.integer]
) -> Interval | None:
    """Spearman's correlation of cosine and length gap over n given pairs: what `rank_pairs` chooses among.

    The interval takes the clusters for independent, not their pairs: it is the cluster-robust t interval of the mean of
    ρ plus each pair's influence on it (delta method), with a cluster of correlation +1 and one of −1, of the mean size,
    added; cut to [−1, 1]. What `mean_correlation` says of few groups holds for few clusters.

    Args:
        similarity: (n,) cosines; NaN where a pair has none, which is then left out.
        length_gaps: (n,) integers. None comes back where the correlation is not defined, as in `length_correlations`.
        clusters: (n,) each pair's prompt: pairs of one prompt are no independent evidence.
    """
    is_known = ~np.isnan(similarity)
    cosines, gaps = similarity[is_known].astype(np.float64), length_gaps[is_known].astype(np.float64)
    value = float(_spearman(cosines[:, None], gaps[:, None], np.full((len(gaps), 1), True))[0])
    if math.isnan(value):
        return None
    _, groups = np.unique(clusters[is_known], return_inverse=True)
    sizes = np.bincount(groups).astype(np.float64)
    sums = value * sizes + np.bincount(groups, _influences(cosines, gaps, value))
    _, low, high = _with_both_signs(sums, sizes)
    return Interval(value, min(value, low), max(value, high))  # the sum of all influences is 0 but for rounding


def _with_both_signs(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> Interval:
    """Σ sums / Σ sizes over (g,) groups; the interval has a group of +1 and one of −1 more, each of the mean size."""
    value = max(-1.0, min(1.0, float(sums.sum() / sizes.sum())))
    size = float(sizes.mean())
    _, low, high = ratio(
        np.append(sums, (size, -size)),
        np.append(sizes, (size, size)),
        np.arange(len(sums) + 2),
        confidence=CONFIDENCE,
    )
    return Interval(value, max(-1.0, min(low, value)), min(1.0, max(high, value)))


def _influences(one: NDArray[np.float64], other: NDArray[np.float64], correlation: float) -> NDArray[np.float64]:
    """What each of n points adds to Spearman's `correlation` of the (n,) values, times n: ρ as a mean, to first order.

    With R and S the centred ranks over n, ρ is mean(R S) / √(mean(R²) mean(S²)). A point counts in these means by its
    own ranks, and by moving the ranks of the points above and below it.
    """
    everyone = np.ones((len(one), 1), dtype=np.bool_)
    ranks, others = (_centred_ranks(values[:, None], everyone)[:, 0] / len(values) for values in (one, other))
    spread, other_spread = float((ranks**2).mean()), float((others**2).mean())
    product = ranks * others + _moved(one, others) + _moved(other, ranks)
    square = ranks**2 + 2 * _moved(one, ranks)
    other_square = others**2 + 2 * _moved(other, others)
    # each term less its mean, which is three times that of its first part; these cancel
    influences: NDArray[np.float64] = product / math.sqrt(spread * other_spread) - correlation / 2 * (
        square / spread + other_square / other_spread
    )
    return influences


def _moved(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each of n values half the sum of `weights` of the values above it less that of those below, over n."""
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    below = sums[np.searchsorted(in_order, values, side="left")]
    above = sums[-1] - sums[np.searchsorted(in_order, values, side="right")]
    moved: NDArray[np.float64] = (above - below) / (2 * len(values))
    return moved


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
    # What is not valid is ranked last, behind every valid entry, and so changes no valid rank.
    ranks = mean_ranks(np.where(is_valid, values, np.inf))
    # Ranks with ties shared have the mean (m + 1) / 2, whatever the ties.
    return np.where(is_valid, ranks - (is_valid.sum(axis=0) + 1) / 2, 0.0)
