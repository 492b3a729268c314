"""What a head is measured on: pairs and candidates of the held-out groups. Figures are by group, to be paired later."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from models.head import Head
from models.studies.pool import Floats, Pairs, Pool, Rows, are_alike, known_pairs, mean_by_group

_LOG_PAIRS = 1_000  # that log-probabilities are taken of: each costs a product with every posterior's root

FIGURES = {
    "accuracy": "share of held-out pairs that the head is right about",
    "accuracy_alike": "the same among pairs of like length",
    "log_probability": "mean log-probability of the better response, nats",
    "win_rate": "how often the best of a prompt's responses by the head beats another of it",
    "win_rate_alike": "the same among responses of like length",
}


class HeldOut(NamedTuple):
    """Held-out groups.

    Attributes:
        groups: (G,) their numbers in the pool; figures are in this order.
        pairs: all whose better one is known.
        probed: places of the pairs that log-probabilities are taken of, spread over the groups.
        is_ranked: whether utilities are known, so that the best of a group can be judged.
    """

    groups: Rows
    pairs: Pairs
    probed: Rows
    is_ranked: bool

    def measure(self, pool: Pool, head: Head | None) -> dict[str, Floats]:
        """The figures (G,) of `FIGURES` of a head; without one every pair is a coin. Win rates where ranked alone."""
        count = len(self.groups)
        rewards = _rewards(pool, head)
        margins = np.subtract(*rewards[self.pairs.rows].T)
        rights = (1 + np.sign(margins) * np.where(self.pairs.is_first_better, 1, -1)) / 2
        alike = self.pairs.is_alike
        figures = {
            "accuracy": mean_by_group(rights, self.pairs.groups, count),
            "accuracy_alike": mean_by_group(rights[alike], self.pairs.groups[alike], count),
            "log_probability": self._log_probabilities(pool, head),
        }
        if self.is_ranked:
            figures["win_rate"], figures["win_rate_alike"] = _win_rates(pool, self.groups, rewards)
        return figures

    def _log_probabilities(self, pool: Pool, head: Head | None) -> Floats:
        rows, is_first = self.pairs.rows[self.probed], self.pairs.is_first_better[self.probed]
        if head is None:
            logs = np.full(len(rows), np.log(0.5))
        else:
            better = np.where(is_first, rows[:, 0], rows[:, 1])
            worse = np.where(is_first, rows[:, 1], rows[:, 0])
            logs = np.log(head.probabilities(pool.embeddings[better], pool.embeddings[worse]).mean)
        return mean_by_group(logs, self.pairs.groups[self.probed], len(self.groups))


def held_out(pool: Pool, groups: Rows, *, by_labels: bool) -> HeldOut:
    """The held-out groups and their pairs, by stored labels or by utilities.

    Raises:
        ValueError: if no pair of them is known to have a better response.
    """
    pairs = known_pairs(pool, groups, by_labels=by_labels)
    if not len(pairs.rows):
        what = "label" if by_labels else "pair of differing scores"
        raise ValueError(f"none of the {len(groups)} held-out prompts has a {what}; raise data.held_out_share")
    each = max(1, _LOG_PAIRS // max(1, len(np.unique(pairs.groups))))
    starts = np.searchsorted(pairs.groups, np.arange(len(groups) + 1))
    probed = [
        np.unique(np.linspace(start, stop - 1, min(each, stop - start)).astype(np.int64))
        for start, stop in pairwise(starts)
        if stop > start
    ]
    return HeldOut(np.asarray(groups), pairs, np.concatenate(probed), not by_labels)


def _rewards(pool: Pool, head: Head | None) -> Floats:
    """(n,) the expected reward of every candidate; differences of these are the head's mean margins."""
    if head is None:
        return np.zeros(len(pool.embeddings))
    weights = head.axes @ sum((each.weight * each.mean for each in head.posteriors), np.zeros(head.axes.shape[1]))
    return np.asarray(pool.embeddings @ weights.astype(np.float32), dtype=np.float64)


def _win_rates(pool: Pool, groups: Rows, rewards: Floats) -> tuple[Floats, Floats]:
    """Of each group, how often the response of the largest reward beats another; among all, and those of its length."""
    assert pool.utilities is not None  # what is ranked has them
    of_all, of_alike = np.full((2, len(groups)), np.nan)
    is_known = pool.is_usable & ~np.isnan(pool.utilities)
    for at, rows in enumerate(pool.rows_of(groups)):
        known = rows[is_known[rows]]
        if len(known) < 2:
            continue
        best = known[rewards[known] == rewards[known].max()]  # several without a head
        rivals = np.stack(np.meshgrid(best, known, indexing="ij"), axis=-1).reshape(-1, 2)
        rivals = rivals[rivals[:, 0] != rivals[:, 1]]
        wins = (1 + np.sign(np.subtract(*pool.utilities[rivals].T))) / 2
        of_all[at] = wins.mean()
        if (alike := are_alike(pool.lengths, rivals)).any():
            of_alike[at] = wins[alike].mean()
    return of_all, of_alike
