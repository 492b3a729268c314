"""Win rates of a policy against a baseline from pairwise verdicts, plain and controlled for length.

Knows neither the judge nor the responses: verdicts, scores and lengths come in, shares with intervals go out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, Interval, share, t_quantile
from models.labelling.records import ShownVerdict

_SCORES = {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5}  # of the response on the left

# Keeps the fit finite where all verdicts agree or length alone decides; against a prompt's weight of 1 it is nothing.
_RIDGE = 0.01

_Floats = NDArray[np.float64]


class Comparison(NamedTuple):
    """The policy's response beside the baseline's on one prompt (`cluster`), lengths in the same unit.

    `score`: 1 where the policy wins, 0.5 for a tie, 0 where it loses.
    """

    cluster: int
    score: float
    policy_length: int
    baseline_length: int


class WinRate(NamedTuple):
    """Shares of wins, ties and losses, the mean over prompts, and `rate` = win + tie / 2 with its interval."""

    win: float
    tie: float
    lose: float
    rate: Interval
    prompt_count: int
    comparison_count: int


def merged_score(first_order: ShownVerdict, second_order: ShownVerdict) -> float | None:
    """The policy's score from both orders: the policy on the left in the first, on the right in the second.

    1 where both verdicts name the policy, 0 where both name the baseline, else 0.5: a verdict that moves with the
    sides is the judge's taste for a side. None where either verdict is `skip` or `unparsed`.
    """
    left, right = _SCORES.get(first_order), _SCORES.get(second_order)
    if left is None or right is None:
        return None
    policy_scores = {left, 1 - right}
    return policy_scores.pop() if len(policy_scores) == 1 else 0.5


def win_rate(comparisons: Sequence[Comparison]) -> WinRate:
    """Shares and the rate; every prompt counts the same, however many comparisons it has.

    Raises:
        ValueError: if there are no comparisons, or a score is none of 0, 0.5 and 1.
    """
    scores, clusters = _scores_and_clusters(comparisons)
    win, tie, lose = (share(scores == score, clusters).value for score in (1.0, 0.5, 0.0))
    return WinRate(win, tie, lose, share(scores, clusters), len(np.unique(clusters)), len(scores))


def length_controlled_win_rate(comparisons: Sequence[Comparison]) -> Interval | None:
    """The rate expected at equal lengths: a logistic regression of the score on tanh(length difference / its std).

    The idea of length-controlled AlpacaEval (arXiv 2404.04475) without its terms for prompts and models. Every prompt
    counts the same. A ridge of 0.01 keeps the value off 0 and 1, by 0.005 for 10 wins of 10. The interval is robust to
    clusters and, as in `share`, computed with two wins and two losses at equal length added.
    Where all lengths are equal it is the plain rate. None where the difference is the same everywhere but not 0:
    then length and quality cannot be told apart.

    Raises:
        ValueError: if there are no comparisons, or a score is none of 0, 0.5 and 1.
    """
    scores, clusters = _scores_and_clusters(comparisons)
    differences = np.array([float(comparison.policy_length - comparison.baseline_length) for comparison in comparisons])
    spread = float(differences.std())
    if spread == 0:
        return None if differences[0] else share(scores, clusters)
    lengths = np.tanh(differences / spread)
    groups = np.unique(clusters, return_inverse=True)[1]
    value, _ = _intercept(scores, lengths, groups)
    middle, deviation = _intercept(
        np.append(scores, (1.0, 1.0, 0.0, 0.0)),
        np.append(lengths, np.zeros(4)),
        np.append(groups, groups.max() + 1 + np.arange(4)),
    )
    half = t_quantile(CONFIDENCE, int(groups.max()) + 4) * deviation
    low, high = min(middle - half, value), max(middle + half, value)
    return Interval(_logistic(value), _logistic(low), _logistic(high))


def _scores_and_clusters(comparisons: Sequence[Comparison]) -> tuple[_Floats, NDArray[np.int64]]:
    if not comparisons:
        raise ValueError("a win rate needs at least 1 comparison, got none")
    if unknown := {comparison.score for comparison in comparisons} - {0.0, 0.5, 1.0}:
        raise ValueError(f"expected scores of 0, 0.5 and 1, got {sorted(unknown)}")
    return np.array([comparison.score for comparison in comparisons]), np.array(
        [comparison.cluster for comparison in comparisons], dtype=np.int64
    )


def _intercept(scores: _Floats, lengths: _Floats, groups: NDArray[np.intp]) -> tuple[float, float]:
    """The logistic regression's intercept by Newton's method, and its cluster-robust standard deviation."""
    design = np.column_stack((np.ones_like(lengths), lengths))
    weights = 1 / np.bincount(groups)[groups]
    coefficients = np.zeros(2)
    reach = math.inf
    while reach > 1e-10:
        rates = (1 + np.tanh(design @ coefficients / 2)) / 2
        gradient = design.T @ (weights * (scores - rates)) - _RIDGE * coefficients
        curvature = (design.T * (weights * rates * (1 - rates))) @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full step can overshoot for good; this share of it always descends (Bach 2010, self-
        # concordance of the logistic loss; no row of the design is longer than √2).
        reach = math.sqrt(2) * float(np.linalg.norm(step))
        coefficients += step * (math.log1p(reach) / reach if reach else 1.0)
    residuals = (weights * (scores - rates))[:, None] * design
    sums = np.column_stack([np.bincount(groups, column) for column in residuals.T])
    count = len(sums)
    inverse = np.linalg.inv(curvature)
    variance = inverse @ (sums.T @ sums) @ inverse * count / max(1, count - 1)
    return float(coefficients[0]), math.sqrt(variance[0, 0])


def _logistic(logit: float) -> float:
    return (1 + math.tanh(logit / 2)) / 2  # cannot overflow
