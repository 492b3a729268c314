"""Fits a head to labels: Bayesian logistic regression on differences of embeddings, without an intercept.

The prior on the reward's weights is Gaussian and alike in all directions. Its size is not chosen but weighed: for each
of a grid of sizes there is a posterior, and its evidence times a hyperprior is its weight. One size alone (MacKay's
fixed point) says of 25 labels without a signal that every margin is zero, surely.

Posteriors are those of expectation propagation (Minka 2001; Rasmussen and Williams 2006, ch. 3.6), not of Laplace: with
fewer labels than axes the mode lies far from the mean, and 90 % intervals of Laplace held 39 to 75 % of the margins of
simulated rewards (docs/decisions/0041).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.head.axes import MAX_AXES, on_and_off, principal_axes
from models.head.propagation import Evidence, Votes, one_thread, propagate
from models.head.records import Head, Posterior

MIN_LABELS = 25  # with fewer, intervals say nothing but the prior
# The prior variances of a typical pair's margin, in nats²: from all but a coin to all but certain.
SIZES = tuple(2.0**power for power in range(-6, 7, 2))
# Of the margin's standard deviation: 1.5 nats, give or take a factor of e; on real pairs it is 2 (docs/head.md).
_LOG_MIDDLE, _LOG_DEVIATION = math.log(1.5), 1.0
_LEAST_WEIGHT = 1e-3
_HOPELESS = 12.0  # nats below the best: sizes beyond are not tried

_Floats = NDArray[np.float64]


def fit_head(
    differences: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None, *, axis_count: int = MAX_AXES
) -> Head:
    """Fit a head to n labelled pairs.

    Args:
        differences: (n, d) embedding of the first response minus that of the second, of unit embeddings.
        targets: (n,) the share of the votes for the first, 0 to 1.
        weights: (n,) how much of a label each is, above 0 and up to 1 (`independence`); None: 1 each.
        axis_count: at most so many principal axes carry the reward; off them its prior stays.

    Raises:
        ValueError: if shapes differ, there is no label, or a number is not finite or no share.
    """
    pairs, shares = np.asarray(differences, dtype=np.float32), np.asarray(targets, dtype=np.float64)
    if pairs.ndim != 2 or shares.shape != (len(pairs),) or not len(pairs):
        raise ValueError(f"expected differences (n, d) and targets (n,), n >= 1, got {pairs.shape} and {shares.shape}")
    if not np.isfinite(pairs).all():
        raise ValueError("differences of embeddings must be finite, some are not; leave out responses without a token")
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("a target is the share of votes for the first, 0 to 1; some are not")
    counts = np.ones(len(pairs)) if weights is None else np.asarray(weights, dtype=np.float64)
    if counts.shape != shares.shape or not ((counts > 0) & (counts <= 1)).all():
        raise ValueError("a weight is above 0 and up to 1, one a label; some are not")
    axes = principal_axes(pairs, axis_count)
    on_axes, rest = on_and_off(pairs, axes)
    return Head(axes, fit_posteriors(on_axes, rest, Votes(shares, counts)), len(pairs))


def fit_posteriors(on_axes: _Floats, rest: _Floats, votes: Votes) -> tuple[Posterior, ...]:
    """The posteriors under each plausible size of the prior, with their weights.

    Args:
        on_axes: (n, k) the pairs' differences on the axes.
        rest: (n,) the squared length of what is off the axes.
        votes: what was said of each pair.
    """
    length = float(np.einsum("nk,nk->", on_axes, on_axes) + rest.sum()) / len(rest)
    with one_thread():
        found = _by_size(on_axes, rest, votes, length)
    best = max(score for score, _ in found)
    plausible = [(weight, fit) for score, fit in found if (weight := math.exp(score - best)) >= _LEAST_WEIGHT]
    total = sum(weight for weight, _ in plausible)
    return tuple(Posterior(weight / total, fit.mean, fit.root, fit.variance) for weight, fit in plausible)


def _by_size(on_axes: _Floats, rest: _Floats, votes: Votes, length: float) -> list[tuple[float, Evidence]]:
    """The score of each size that is not hopeless, with its posterior."""
    found: list[tuple[float, Evidence]] = []
    for sizes in (SIZES[len(SIZES) // 2 :], SIZES[: len(SIZES) // 2][::-1]):  # outwards from the middle
        for size in sizes:
            variance = size / length if length > 0 else size
            fit = propagate(on_axes, variance * rest, votes, variance, start=found[-1][1].sites if found else None)
            found.append((fit.log_evidence - ((0.5 * math.log(size) - _LOG_MIDDLE) / _LOG_DEVIATION) ** 2 / 2, fit))
            if found[-1][0] < max(score for score, _ in found) - _HOPELESS:
                break
    return found


def independence(first: ArrayLike, second: ArrayLike) -> _Floats:
    """How much of a label each of n comparisons is (n,): the comparisons of a group that are not a chain of others.

    Labels on all ten pairs of five responses are four labels, not ten: the fifth response's luck is in four of them.
    Each of a connected group of pairs weighs (responses − 1) / pairs, so that a pair that stands alone weighs 1. Taken
    for independent, such labels let the head learn single responses by heart: on PandaLM's (five responses a prompt)
    the log-probability of held-out labels at 200 labels was −0.689, and −0.677 with these weights.

    Args:
        first: (n,) ids of the first responses.
        second: (n,) ids of the second ones.
    """
    ends = np.stack([np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)])
    if not ends.size:
        return np.empty(0)

    from scipy.sparse import coo_array  # slow to load
    from scipy.sparse.csgraph import connected_components

    nodes, places = np.unique(ends, return_inverse=True)
    one, other = places.reshape(ends.shape)
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(len(nodes), len(nodes)))
    group_count, groups = connected_components(graph, directed=False)
    pairs = np.bincount(groups[one], minlength=group_count)
    weights = (np.bincount(groups, minlength=group_count) - 1) / np.maximum(pairs, 1)
    return np.asarray(weights[groups[one]], dtype=np.float64)
