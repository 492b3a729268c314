"""Which pairs deserve another look: votes that differ, margins that others contradict, votes that others speak against.

Knows arrays alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

SURE = 0.9  # of ten such labels, at least nine are expected to be the other way round


def disagreement_weights(counts: Counts) -> Floats:
    """How much the votes on each pair differ: above 1/2 if both sides have one, up to 1 for as many on either side.

    Otherwise half the share of the votes that are not for the most frequent verdict: below 1/2, 0 if all are equal.

    Args:
        counts: (n, 4) votes for first, second, tie and both bad.

    Returns:
        (n,) float64 in [0, 1]; 0 without a vote.
    """
    size = np.maximum(counts.sum(axis=1), 1)
    smaller_side = counts[:, :2].min(axis=1)
    beside = np.where(counts.any(axis=1), 1 - counts.max(axis=1) / size, 0.0)
    return np.where(smaller_side > 0, 0.5 + smaller_side / size, beside / 2)


def contradiction_weights(margins: Floats, own: NDArray[np.int8], counts: Counts) -> Floats:
    """How much the other annotators' votes contradict one annotator's margins, the more the larger the margin.

    The share of the annotator's margins that are no larger in size than this one, times the share of the others'
    decisive votes that are for the other side. Shares of one's own margins make annotators of any scale comparable.

    Args:
        margins: (n,) first less second, NaN where the annotator gave none.
        own: (n,) the annotator's votes, 0 first, 1 second, 2 and 3 neither, -1 none.
        counts: (n, 4) votes of everyone, the annotator's included.

    Returns:
        (n,) float64 in [0, 1]; 0 without a margin, for a margin of 0, or without a decisive vote of another.
    """
    sizes = np.sort(np.abs(margins[~np.isnan(margins)]))
    rank = np.searchsorted(sizes, np.abs(margins), side="right") / max(len(sizes), 1)
    others = counts[:, :2] - (own[:, None] == np.arange(2))
    against = np.where(margins > 0, others[:, 1], np.where(margins < 0, others[:, 0], 0))
    weights: Floats = rank * against / np.maximum(others.sum(axis=1), 1)
    return weights


def unexpected_weights(expected: Floats, counts: Counts) -> Floats:
    """How surely labels on other prompts speak against the side that more than half of a pair's votes are for.

    Args:
        expected: (n,) how probably the first response is preferred, by those labels; NaN where they say nothing.
        counts: (n, 4) votes for first, second, tie and both bad.

    Returns:
        (n,) float64: the other side's probability where it is `SURE` or more, else 0.
    """
    more_than_half = 2 * counts[:, :2] > counts.sum(axis=1, keepdims=True)
    against = np.where(more_than_half[:, 0], 1 - expected, np.where(more_than_half[:, 1], expected, 0.0))
    return np.where(against >= SURE, against, 0.0)


def worst_contradictions(
    margins: Mapping[int, Floats], codes: NDArray[np.int8], counts: Counts
) -> tuple[Floats, NDArray[np.int64]]:
    """The largest of the annotators' `contradiction_weights` on each pair, and whose it is.

    Args:
        margins: (n,) margins by the annotator's row in `codes`; annotators without any may be left out.
        codes: (annotators, n) int8 votes.
        counts: (n, 4) votes by verdict.

    Returns:
        (n,) float64 weights and (n,) int64 rows, the earlier of equals, -1 where the weight is 0.
    """
    worst, rows = np.zeros(len(counts)), np.full(len(counts), -1)
    for row, annotator_margins in margins.items():
        weights = contradiction_weights(annotator_margins, codes[row], counts)
        rows[weights > worst] = row
        worst = np.maximum(worst, weights)
    return worst, rows
