"""Expectation propagation for a linear reward and votes: a Gaussian that matches the posterior's moments pair by pair.

All pairs are updated at once, with damping, so that a sweep is a few products of matrices.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from models.head.records import DENSITY, GRID

_DAMPING = 0.9
_TOLERANCE = 1e-3  # of the largest change of a margin's mean, in its standard deviations

_Floats = NDArray[np.float64]


class Votes(NamedTuple):
    """What was said of n pairs.

    Attributes:
        shares: (n,) the share of the votes for the first, 0 to 1.
        weights: (n,) the power of each pair's likelihood, above 0 and up to 1.
    """

    shares: _Floats
    weights: _Floats


class Sites(NamedTuple):
    """What each pair's vote adds to the posterior: precision and precision × mean of its margin, (n,) each."""

    precision: _Floats
    shift: _Floats


class Evidence(NamedTuple):
    """A posterior of the weights with its log evidence; `root @ root.T` is the covariance."""

    log_evidence: float
    mean: _Floats
    root: _Floats
    variance: float
    sites: Sites


class _Tilted(NamedTuple):
    """Of each pair: the log of its normaliser, and its margin's mean and variance with its vote as it is."""

    log_normaliser: _Floats
    mean: _Floats
    variance: _Floats


def one_thread() -> AbstractContextManager[object]:
    """Products of small matrices on one thread: on a busy machine of two cores two threads took 15 times as long."""
    limits: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limits


@cache
def _libraries() -> ThreadpoolController:
    """Those that multiply matrices here, looked for once: to read what a process has loaded takes milliseconds."""
    import scipy.linalg  # noqa: F401 (it brings a BLAS of its own)

    return ThreadpoolController()


def propagate(
    on_axes: _Floats,
    noise: _Floats,
    votes: Votes,
    variance: float,
    *,
    start: Sites | None = None,
    most_sweeps: int = 60,
) -> Evidence:
    """The posterior of the weights w ~ N(0, variance · I) given votes with P(first) = E[σ(w · z + e)], e ~ N(0, noise).

    Args:
        on_axes: (n, k) the pairs' differences z.
        noise: (n,) the variance of what is off the axes.
        votes: what was said of each pair.
        variance: of a weight before any vote.
        start: sites of a similar prior, to begin with; None: what each vote says of a margin near 0.
        most_sweeps: where it is stopped, settled or not.
    """
    sites = start or Sites(votes.weights / 4, votes.weights * (votes.shares - 0.5))
    for _ in range(most_sweeps):
        mean, root = _gaussian(on_axes, sites, variance)
        margin, spread = on_axes @ mean, np.square(on_axes @ root).sum(axis=1)
        cavity_variance = spread / np.maximum(1 - sites.precision * spread, 1e-6)
        cavity_mean = cavity_variance * (margin / np.maximum(spread, 1e-300) - sites.shift)
        tilted = _tilt(cavity_mean, cavity_variance, noise, votes)
        log_evidence = _log_evidence(sites, cavity_mean, cavity_variance, tilted.log_normaliser)
        log_evidence += float(np.log(np.diag(root)).sum()) - 0.5 * root.shape[0] * math.log(variance)
        log_evidence += 0.5 * float(margin @ sites.shift)
        off = np.abs(tilted.mean - margin) / np.sqrt(np.maximum(spread, 1e-300))
        if not len(mean) or off[spread > 0].max(initial=0.0) < _TOLERANCE:
            break
        is_moved = spread > 1e-12 * variance
        precision = np.where(
            is_moved, 1 / np.maximum(tilted.variance, 1e-300) - 1 / np.maximum(cavity_variance, 1e-300), 0
        )
        shift = np.where(
            is_moved,
            tilted.mean / np.maximum(tilted.variance, 1e-300) - cavity_mean / np.maximum(cavity_variance, 1e-300),
            0,
        )
        sites = Sites(
            sites.precision + _DAMPING * (np.maximum(precision, 0.0) - sites.precision),
            sites.shift + _DAMPING * (shift - sites.shift),
        )
    return Evidence(log_evidence, mean, root, variance, sites)


def _gaussian(on_axes: _Floats, sites: Sites, variance: float) -> tuple[_Floats, _Floats]:
    """Mean and an upper triangular root of the covariance of the weights."""
    from scipy.linalg import cholesky, solve_triangular

    precision = (on_axes.T * sites.precision) @ on_axes
    precision[np.diag_indices(len(precision))] += 1 / variance
    if not len(precision):
        return np.zeros(0), precision
    lower = cholesky(precision, lower=True)
    root = solve_triangular(lower, np.eye(len(precision)), lower=True).T
    return root @ (root.T @ (on_axes.T @ sites.shift)), root


def _tilt(mean: _Floats, variance: _Floats, noise: _Floats, votes: Votes) -> _Tilted:
    """The moments of w · z under its cavity times its vote; the noise is of the vote alone."""
    whole = variance + noise
    margins = mean[:, None] + np.sqrt(whole)[:, None] * GRID
    log_likelihood = votes.shares[:, None] * margins - np.logaddexp(0.0, margins)
    likelihood = np.exp(votes.weights[:, None] * log_likelihood) * DENSITY
    normaliser = likelihood.sum(axis=1)
    likelihood /= normaliser[:, None]
    seen = (likelihood * margins).sum(axis=1)
    spread = (likelihood * np.square(margins - seen[:, None])).sum(axis=1)
    share = variance / np.maximum(whole, 1e-300)
    return _Tilted(np.log(normaliser), mean + share * (seen - mean), variance * (1 - share) + np.square(share) * spread)


def _log_evidence(sites: Sites, mean: _Floats, variance: _Floats, log_normaliser: _Floats) -> float:
    """The pairs' part of the log evidence (Rasmussen and Williams 2006, eq. 3.65, in natural parameters)."""
    precision, shift = sites
    grown = 1 + precision * variance
    exponent = (np.square(shift) * variance + 2 * mean * shift - precision * np.square(mean)) / grown
    return float((log_normaliser + 0.5 * np.log(grown) - 0.5 * exponent).sum())
