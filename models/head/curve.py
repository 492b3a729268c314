"""How often a head is right about labels it has not seen, by the number of labels it was fitted to.

Splits are by dialogue: four folds, several times over, so that every label is held out equally often, and never with
another label of its dialogue on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.head.axes import on_and_off, principal_axes
from models.head.fitting import fit_posteriors
from models.head.propagation import Votes, one_thread, propagate

FOLDS = 4
REPEATS = 3
AXES = 64  # hundreds of fits; for the side of a margin more are no better
SIZES = 6  # sizes of a curve, in equal ratios
_SMALLEST_SHARE = 5  # the largest size over the smallest: with fewer labels curves rise slower than a power law

_SWEEPS = 5  # the side that a margin is on is settled long before its size

_Floats = NDArray[np.float64]


class Differences(Protocol):
    """First minus second embedding of n pairs: an array (n, d) float32, or what reads the rows that are asked for."""

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.float32]:
        """The differences (k, d) of the pairs at these places."""


class Labels(NamedTuple):
    """Decided labels on n pairs.

    Attributes:
        differences: of the n pairs.
        shares: (n,) the share of the votes for the first; above 0.5 it is preferred.
        weights: (n,) how much of a label each is.
        dialogues: (n,) int64, the same number for labels of one dialogue.
    """

    differences: Differences
    shares: _Floats
    weights: _Floats
    dialogues: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """What every split found.

    Attributes:
        sizes: (S,) how many labels the head was fitted to.
        rights: (R, S) how many held-out labels it was right about, a margin of 0 by half.
        tested: (R,) how many there were.
        changes: (R, S − 1) between two sizes, the held-out labels' variance of what changed from wrong to right.
    """

    sizes: NDArray[np.int64]
    rights: _Floats
    tested: NDArray[np.int64]
    changes: _Floats

    @property
    def accuracies(self) -> _Floats:
        """(S,) the share of held-out labels that the head was right about, over all splits."""
        return np.asarray(self.rights.sum(axis=0) / self.tested.sum(), dtype=np.float64)


class Prepared(NamedTuple):
    """Labels on their axes, with the prior that all of them speak for."""

    on_axes: _Floats
    noise: _Floats
    votes: Votes
    variance: float


def prepare(differences: NDArray[np.float32], votes: Votes) -> Prepared:
    """Find axes and prior of all labels together; of what a held-out label says, both know next to nothing."""
    axes = principal_axes(differences, AXES)
    on_axes, rest = on_and_off(differences, axes)
    posteriors = fit_posteriors(on_axes, rest, votes)
    variance = float(np.exp(sum(one.weight * np.log(one.variance) for one in posteriors)))
    return Prepared(on_axes, variance * rest, votes, variance)


def learning_curve(
    prepared: Prepared,
    dialogues: NDArray[np.int64],
    *,
    learns: NDArray[np.bool_],
    tests: NDArray[np.bool_],
    seed: int,
) -> Curve | None:
    """Fit heads to growing numbers of labels and count what they are right about; None where no split can be made.

    Args:
        prepared: all labels.
        dialogues: (n,) the dialogue of each.
        learns: (n,) the labels that a head may be fitted to.
        tests: (n,) the labels that it is tested on, where their dialogue is held out.
        seed: of the splits.
    """
    chosen = [(train[learns[train]], test[tests[test]]) for train, test in dialogue_splits(dialogues, seed)]
    splits = [(train, test) for train, test in chosen if len(train) and len(test)]
    if not splits:
        return None
    largest = min(len(train) for train, _ in splits)
    sizes = np.unique(np.geomspace(max(2, largest / _SMALLEST_SHARE), max(2, largest), SIZES).astype(np.int64))
    counts, changes = [], []
    with one_thread():
        for train, test in splits:
            rights = [_rights(prepared, train[:size], test) for size in sizes]
            counts.append([one.sum() for one in rights])
            changes.append([np.var(after - before) / len(test) for before, after in pairwise(rights)])
    tested = np.array([len(test) for _, test in splits])
    return Curve(sizes, np.array(counts), tested, np.array(changes))


def drawn(dialogues: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """The places of all n labels, or of dialogues in random order up to `most` labels, ascending.

    Args:
        dialogues: (n,) the dialogue of each.
        most: how many labels; the last dialogue that is drawn may be cut.
        seed: of the order.
    """
    if len(dialogues) <= most:
        return np.arange(len(dialogues))
    names, groups = np.unique(dialogues, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))[groups]
    return np.sort(np.argsort(order, kind="stable")[:most])


def dialogue_splits(dialogues: NDArray[np.int64], seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions to learn from, in random order of dialogues, and positions held out, for each of all splits."""
    names, groups = np.unique(dialogues, return_inverse=True)
    splits = []
    for repeat in range(REPEATS):
        order = np.random.default_rng([seed, repeat]).permutation(len(names))
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        by_place = np.argsort(place[groups], kind="stable")
        fold = place[groups[by_place]] % FOLDS
        splits += [(by_place[fold != held_out], by_place[fold == held_out]) for held_out in range(FOLDS)]
    return splits


def _rights(prepared: Prepared, train: NDArray[np.int64], test: NDArray[np.int64]) -> _Floats:
    votes = Votes(prepared.votes.shares[train], prepared.votes.weights[train])
    fit = propagate(prepared.on_axes[train], prepared.noise[train], votes, prepared.variance, most_sweeps=_SWEEPS)
    return right(prepared.on_axes[test] @ fit.mean, prepared.votes.shares[test])


def right(margins: _Floats, shares: _Floats) -> _Floats:
    """1 where a margin's sign is that of the label, 0 where it is not, 0.5 where the margin is 0."""
    return np.asarray((1 + np.sign(margins) * np.sign(shares - 0.5)) / 2, dtype=np.float64)
