"""The head's fit: against an exact posterior, ranks recovered, intervals that hold, and odd labels."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr
from simulated_labels import simulated
from surroundings import ROOT

from models.head import fit_head, independence
from models.head.fitting import SIZES
from models.head.propagation import Votes, propagate

ZERO = np.zeros((1, 2), dtype=np.float32)


def grid_posterior(on_axes, shares, variance, *, weights=None):
    """The slow twin in two dimensions: log evidence, mean and covariance of the weights, by summing over a grid."""
    span = np.linspace(-6 * np.sqrt(variance), 6 * np.sqrt(variance), 241)
    points = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    margins = points @ on_axes.T
    votes = shares * margins - np.logaddexp(0, margins)
    log_joint = (votes * (1 if weights is None else weights)).sum(axis=1) - (points**2).sum(axis=1) / (2 * variance)
    log_joint -= np.log(2 * np.pi * variance)
    mass = np.exp(log_joint - log_joint.max())
    log_evidence = np.log(mass.sum()) + log_joint.max() + 2 * np.log(span[1] - span[0])
    mass /= mass.sum()
    mean = mass @ points
    return log_evidence, mean, (points - mean).T @ ((points - mean) * mass[:, None])


@pytest.mark.parametrize("count", [1, 12, 60])
@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_the_posterior_is_that_of_a_grid(count, weight):
    world = simulated(count, count, dimension=2, size=2.0)
    pairs, shares = world.differences.astype(float), np.clip(world.votes, 0.25, 1.0)
    found = propagate(pairs, np.zeros(count), Votes(shares, np.full(count, weight)), 4.0)
    evidence, mean, covariance = grid_posterior(pairs, shares, 4.0, weights=weight)
    assert found.log_evidence == pytest.approx(evidence, abs=0.02)
    assert found.mean == pytest.approx(mean, abs=0.05)
    assert found.root @ found.root.T == pytest.approx(covariance, abs=0.12)


def test_with_many_labels_the_mean_is_the_mode_of_a_plain_optimiser_and_its_spread_the_hessians():
    world = simulated(3, 3_000, dimension=4, size=1.5)
    pairs, variance = world.differences.astype(float), 3.0

    def loss(weights):
        margins = pairs @ weights
        return np.logaddexp(0, margins).sum() - world.votes @ margins + weights @ weights / (2 * variance)

    mode = minimize(loss, np.zeros(4), method="BFGS", tol=1e-10).x
    step = 1e-3
    units = np.eye(4) * step

    def bend(one, other):
        corners = [loss(mode + i * one + j * other) * i * j for i in (1, -1) for j in (1, -1)]
        return sum(corners) / (4 * step**2)

    hessian = [[bend(one, other) for other in units] for one in units]
    found = propagate(pairs, np.zeros(3_000), Votes(world.votes, np.ones(3_000)), variance)
    deviations = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert np.abs(found.mean - mode).max() < 0.15 * deviations.min()
    assert np.sqrt(np.diag(found.root @ found.root.T)) == pytest.approx(deviations, rel=0.05)


def test_what_is_off_the_axes_is_noise_of_the_vote():
    pairs, votes = np.array([[1.0], [2.0]]), Votes(np.ones(2), np.ones(2))
    sure = propagate(pairs, np.zeros(2), votes, 1.0)
    unsure = propagate(pairs, np.full(2, 25.0), votes, 1.0)
    assert 0 < unsure.mean[0] < sure.mean[0]


def test_ranks_are_recovered():
    world = simulated(1, 2_600, size=2.0)
    head = fit_head(world.differences[:600], world.votes[:600])
    means = head.compare(world.differences[600:], np.zeros_like(world.differences[600:])).means
    assert spearmanr(means, world.margins[600:]).statistic > 0.85
    again = fit_head(world.differences[:600], world.votes[:600])
    assert all(
        np.array_equal(one.mean, other.mean) for one, other in zip(head.posteriors, again.posteriors, strict=True)
    )


@pytest.mark.parametrize(("count", "seeds"), [(25, 60), (100, 40), (400, 16)])
def test_intervals_hold_what_they_promise(count, seeds):
    """Rewards of all sizes that the prior allows for, noisy and sure: one reward's share varies far more."""
    shares = []
    for seed in range(seeds):
        size = 1.5 * np.exp(np.random.default_rng(1_000 + seed).standard_normal())
        world = simulated(seed, count + 300, dimension=96, size=size)
        head = fit_head(world.differences[:count], world.votes[:count])
        tested, nothing = world.differences[count:], np.zeros_like(world.differences[count:])
        found, true = head.probabilities(tested, nothing), expit(world.margins[count:])
        shares.append(np.mean((found.low <= true) & (true <= found.high)))
    assert 0.85 <= np.mean(shares) <= 0.95


def test_a_reward_that_embeddings_cannot_tell_is_met_with_probabilities_that_hold():
    """Half of each true margin is length, which no embedding has: what is predicted comes true as often as said."""
    promised, kept = [], []
    for seed in range(12):
        world = simulated(seed, 1_300, dimension=32, size=1.5)
        rng = np.random.default_rng(seed)
        votes = (rng.random(1_300) < expit(world.margins + 1.5 * rng.standard_normal(1_300))).astype(float)
        head = fit_head(world.differences[:300], votes[:300])
        mean = head.probabilities(world.differences[300:], np.zeros_like(world.differences[300:])).mean
        promised.append(np.maximum(mean, 1 - mean).mean())
        kept.append(np.mean((mean > 0.5) == (votes[300:] > 0.5)))
    assert np.mean(promised) == pytest.approx(np.mean(kept), abs=0.02)


@pytest.mark.parametrize(
    ("differences", "targets"),
    [
        (np.ones((30, 3)), np.ones(30)),
        (np.zeros((30, 3)), np.ones(30)),
        (np.ones((1, 3)), np.zeros(1)),
        (np.repeat(np.eye(3)[:1], 40, axis=0), np.arange(40) % 2),
        (np.eye(3), np.full(3, 0.5)),
        (1e-30 * np.ones((5, 3)), np.ones(5)),
    ],
    ids=["one way", "identical vectors", "one label", "one pair, contradicting", "undecided", "all but identical"],
)
def test_odd_labels_make_a_head(differences, targets):
    head = fit_head(differences, targets)
    found = head.probabilities(np.eye(3), np.zeros((3, 3)))
    assert all(np.isfinite(part).all() for part in found)
    assert ((found.low <= found.mean) & (found.mean <= found.high)).all()


def test_all_labels_one_way_prefer_that_way_and_identical_vectors_say_nothing():
    head = fit_head(np.ones((30, 3)), np.ones(30))
    assert head.probabilities(np.ones((1, 3)), np.zeros((1, 3))).mean[0] > 0.9
    nothing = fit_head(np.zeros((30, 3)), np.ones(30))
    assert nothing.probabilities(np.ones((1, 3)), np.zeros((1, 3))).mean[0] == 0.5


@pytest.mark.parametrize(
    ("differences", "targets", "weights", "message"),
    [
        (np.full((3, 2), np.nan), np.ones(3), None, "must be finite"),
        (np.ones((3, 2)), np.ones(2), None, r"got \(3, 2\) and \(2,\)"),
        (np.ones((0, 2)), np.ones(0), None, "n >= 1"),
        (np.ones((3, 2)), np.full(3, 2.0), None, "0 to 1; some are not"),
        (np.ones((3, 2)), np.full(3, np.nan), None, "0 to 1; some are not"),
        (np.ones((3, 2)), np.ones(3), np.zeros(3), "above 0 and up to 1"),
    ],
)
def test_what_is_no_label_is_refused(differences, targets, weights, message):
    with pytest.raises(ValueError, match=message):
        fit_head(differences, targets, weights)


def test_pairs_of_the_same_responses_are_fewer_labels():
    assert independence([1, 3, 5], [2, 4, 6]).tolist() == [1.0, 1.0, 1.0]
    assert independence([1, 1, 2, 7], [2, 3, 3, 8]) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1.0])
    assert independence([1, 2], [2, 1]).tolist() == [0.5, 0.5]
    assert independence([], []).tolist() == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_swapping_all_pairs_changes_nothing(seed, count):
    world = simulated(seed, count, dimension=5)
    probe = np.random.default_rng(seed).standard_normal((6, 5)).astype(np.float32)
    one = fit_head(world.differences, world.votes).compare(probe, np.zeros_like(probe))
    other = fit_head(-world.differences, 1 - world.votes).compare(probe, np.zeros_like(probe))
    assert one.means == pytest.approx(other.means, abs=1e-6) and one.deviations == pytest.approx(other.deviations, 1e-6)


def test_the_sizes_reach_from_a_coin_to_certainty():
    assert min(SIZES) < 0.05 and max(SIZES) >= 64


def test_what_is_to_run_on_one_thread_does_so_though_its_library_is_loaded_within():
    counted = (
        "from threadpoolctl import threadpool_info; from models.head.propagation import one_thread\n"
        "def counts(): return {one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'}\n"
        "with one_thread(): import scipy.linalg; print(counts())"
    )
    done = subprocess.run(
        [sys.executable, "-c", counted],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{1}\n"
