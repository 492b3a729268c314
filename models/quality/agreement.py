"""Agreement corrected for chance, and 95 % intervals over prompts. Knows votes as places in VOTES alone.

Pairs of one prompt share responses, and annotators err on the same prompts: where `clusters` (pairs,) name each pair's
prompt, an interval takes prompts for independent; without, pairs.

Which of two responses is stored as the first says nothing about them, so chance does not know it either: a vote for a
side counts half as one for the first and half as one for the second wherever a coefficient asks what chance would give.
No coefficient changes when the two responses of some pairs are exchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, clustered_mean, ratio
from models.labelling.votes import EXCHANGED, VOTES
from models.quality.records import UNDEFINED, Coefficient, Share

_Counts = NDArray[np.integer[Any]]
_Floats = NDArray[np.float64]

_LINE = np.array([-1.0, 1.0, 0.0, 0.0])  # first < tie < second; both bad prefers neither, as a tie does

NOMINAL: _Floats = 1.0 - np.eye(len(VOTES))
"""(4, 4) distances of two votes: 1 for any two that differ."""

ORDINAL: _Floats = (_LINE[:, None] - _LINE) ** 2
"""(4, 4) distances on the line first < tie < second: 1 for a side against no side, 4 for both sides.

Krippendorff's ordinal metric counts the ratings between two values. With as many ratings of first as of second, as
chance has it here, a tie lies half way for any counts, so this is that metric. Both bad lies where a tie does.
"""

# What a few pairs of one outcome prove: two pairs of full agreement and two of none join them in every interval (the
# idea of Agresti and Coull 1998), so that ten of ten are no certainty.
_FURTHER = np.array([0.0, 0.0, 1.0, 1.0])


def alpha(counts: _Counts, distances: _Floats, clusters: _Counts | None = None) -> Coefficient:
    """Krippendorff's alpha: 1 for perfect agreement, 0 for what chance gives, below 0 for less than that.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". One deviation: by chance two of the ratings
    meet, and each that is for a side is for either side with probability 1/2 (see the module). Where all votes are for
    a side, two annotators who agree on a share p have 2p − 1, whichever response is stored as the first.

    Args:
        counts: (pairs, 4) integers: how many votes each verdict has on each pair.
        distances: `NOMINAL` or `ORDINAL`.
        clusters: (pairs,) the prompt of each pair; None: each its own.

    Returns:
        The value and its interval; undefined where no pair has two votes, or chance cannot disagree.
    """
    is_counted = counts.sum(axis=1) > 1
    votes = counts[is_counted].astype(np.float64)
    sizes, totals = votes.sum(axis=1), votes.sum(axis=0)
    by_chance = _by_chance(distances)
    expected = float(totals @ by_chance @ totals - totals @ by_chance.diagonal())
    if expected == 0:
        return UNDEFINED
    observed = ((votes @ distances) * votes).sum(axis=1) / (sizes - 1)
    value = 1 - float(observed.sum()) * (float(sizes.sum()) - 1) / expected
    groups, group_count = _groups(is_counted, clusters)
    size = float(sizes.sum()) / group_count
    votes = np.vstack([votes, _decided(size)])
    observed = np.append(observed, size * distances[0, 1] * _FURTHER)
    return _with_interval(value, observed, votes, votes, by_chance, groups=groups)


def kappa(first: _Counts, second: _Counts, distances: _Floats, clusters: _Counts | None = None) -> Coefficient:
    """Cohen's kappa of two annotators over the pairs that both rated (Cohen 1960; 1968 for `ORDINAL` distances).

    One deviation: by chance each annotator is for either side equally often (see the module).

    Args:
        first: (pairs,) places in VOTES, -1 where there is no vote.
        second: (pairs,) likewise.
        distances: `NOMINAL` or `ORDINAL`.
        clusters: (pairs,) the prompt of each pair; None: each its own.

    Returns:
        The value and its interval; undefined where no pair has both votes, or chance cannot disagree.

    Raises:
        ValueError: If the two are not one-dimensional and of one length.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"kappa needs two (n,) arrays of one length, got shapes {first.shape} and {second.shape}")
    is_rated = (first != -1) & (second != -1)
    first_votes, second_votes = np.eye(len(VOTES))[first[is_rated]], np.eye(len(VOTES))[second[is_rated]]
    by_chance = _by_chance(distances)
    expected = float(first_votes.sum(axis=0) @ by_chance @ second_votes.sum(axis=0))
    if expected == 0:
        return UNDEFINED
    observed = distances[first[is_rated], second[is_rated]]
    value = 1 - float(observed.sum()) * len(observed) / expected
    groups, group_count = _groups(is_rated, clusters)
    size = len(observed) / group_count
    first_votes, second_votes = (np.vstack([votes, _decided(size)]) for votes in (first_votes, second_votes))
    observed = np.append(observed, size * distances[0, 1] * _FURTHER)
    return _with_interval(value, observed, first_votes, second_votes, by_chance, groups=groups)


def share_over_pairs(successes: _Counts, counts: _Counts, clusters: _Counts | None = None) -> Share:
    """Σ successes / Σ counts, with a 95 % interval that takes what one prompt (or pair) holds for one observation.

    The t interval of a ratio over clusters (Liang and Zeger 1986), with two clusters of successes and two of failures,
    each as large as the mean one, as further ones.

    Args:
        successes: (pairs,) integers from 0 to the pair's count.
        counts: (pairs,) integers; pairs with 0 are left out.
        clusters: (pairs,) the prompt of each pair; None: each its own.
    """
    is_counted = counts > 0
    hits, sizes = (np.asarray(part[is_counted], dtype=np.float64) for part in (successes, counts))
    if not len(sizes):
        return Share(None, 0.0, 1.0, 0)
    value = float(hits.sum() / sizes.sum())
    groups, group_count = _groups(is_counted, clusters)
    size = sizes.sum() / group_count
    hits, sizes = np.append(hits, size * _FURTHER), np.append(sizes, np.full(len(_FURTHER), size))
    _, low, high = ratio(hits, sizes, groups, confidence=CONFIDENCE)
    return Share(value, max(0.0, min(low, value)), min(1.0, max(high, value)), int(counts.sum()))


def equal_couples(counts: _Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each pair, how many couples of its votes are equal, and how many there are: (pairs,) int64 each.

    Args:
        counts: (pairs, values) integers: how many votes each value has on each pair.
    """
    counts = counts.astype(np.int64)
    size = counts.sum(axis=1)
    return (counts * (counts - 1)).sum(axis=1) // 2, size * (size - 1) // 2


def _groups(is_counted: NDArray[np.bool_], clusters: _Counts | None) -> tuple[NDArray[np.intp], int]:
    """The clusters of the pairs that count, numbered from 0, then the further ones; how many the former are."""
    names = np.arange(len(is_counted)) if clusters is None else clusters
    found, numbers = np.unique(names[is_counted], return_inverse=True)
    return np.append(numbers, len(found) + np.arange(len(_FURTHER))), len(found)


def _by_chance(distances: _Floats) -> _Floats:
    """(4, 4) the mean distance of two votes where each side is drawn at random."""
    mean: _Floats = (distances + distances[:, EXCHANGED]) / 2
    return mean


def _decided(size: float) -> _Floats:
    """The votes of the further pairs: all for a side, and chance does not know which."""
    votes = np.zeros((len(_FURTHER), len(VOTES)))
    votes[:, 0] = size
    return votes


def _with_interval(
    value: float, observed: _Floats, first: _Floats, second: _Floats, by_chance: _Floats, *, groups: NDArray[np.intp]
) -> Coefficient:
    """The 95 % interval of 1 − observed / expected by the delta method.

    Args:
        value: the coefficient without the further pairs.
        observed: (n,) each pair's disagreement, summed over its ratings.
        first: (n, 4) ratings by verdict.
        second: (n, 4) those they meet; each row sums up to what `first` does.
        by_chance: (4, 4) distances where sides are drawn at random.
        groups: (n,) the cluster of each pair.
    """
    sizes = first.sum(axis=1, keepdims=True)
    total = float(sizes.sum())
    first_shares, second_shares = first.sum(axis=0) / total, second.sum(axis=0) / total
    expected = float(first_shares @ by_chance @ second_shares)
    mean = float(observed.sum()) / total
    # What each pair adds to the observed and to the expected disagreement beyond its share of the ratings.
    of_observed = observed - mean * sizes[:, 0]
    of_expected = (first - sizes * first_shares) @ by_chance @ second_shares
    of_expected += (second - sizes * second_shares) @ by_chance @ first_shares
    influences = (mean / expected * of_expected - of_observed) / expected / total
    values = 1 - mean / expected + len(observed) * influences
    _, low, high = clustered_mean(values, groups)
    return Coefficient(value, max(-1.0, min(low, value)), min(1.0, max(high, value)))
