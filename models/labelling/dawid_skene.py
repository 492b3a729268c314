"""What each annotator answers where which verdict is true, estimated from votes alone (Dawid and Skene 1979)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.labelling.votes import EXCHANGED, VOTES, Vote

# What an annotator is taken for before any vote was compared, and what a table starts from: four of five votes right.
PRIOR_ACCURACY = 0.8
# Votes the prior counts as, where one response is better and elsewhere. Half a vote only keeps a table from 0 and 1:
# with 5 votes, 600 pairs of accuracies 0.9, 0.6, 0.6 are right in 0.91 of the cases and say 0.84, since few votes tell
# those three from three alike. Ties are rarer and told apart less well: with half a vote there the verdict "tie"
# becomes a class for all that is hard (0.82 right instead of 0.88 where no pair is a tie).
_PRIOR_VOTES = np.array([0.5, 0.5, 5.0, 5.0])
_PRIOR_PAIRS = 1.0

_ITERATIONS = 1000  # three annotators of whom two know little take some 500
_GRID = 2.0**30  # sums of multiples of 2⁻³⁰ are exact up to 2²³, so that they depend on no order

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VoteModel:
    """How often each verdict is the true one, and what each annotator answers then.

    `prevalence` (4,) by place in VOTES, first and second alike, 0 for a verdict that nobody gave. `tables` (4, 4) by
    annotator id: probability of the vote (column) where a verdict is true (row); exchanging the responses exchanges
    both, so a table says nothing of sides. `prior_table` is for annotators without one.
    """

    prevalence: _Floats
    tables: Mapping[int, _Floats]
    prior_table: _Floats

    def beliefs(self, votes: Mapping[int, Vote]) -> dict[Vote, float]:
        """The probability that each verdict is the true one of a pair, by Bayes' rule; 0 for one that nobody gave.

        A vote for a verdict that nobody gave when the model was fitted says nothing.
        """
        codes = [(annotator, VOTES.index(vote)) for annotator, vote in votes.items()]
        rows = [self.tables.get(annotator, self.prior_table)[:, code] for annotator, code in codes if self._has(code)]
        # Exact sums: nothing depends on the order of the votes or on which response is the first.
        sums = {
            VOTES[truth]: math.fsum([math.log(self.prevalence[truth]), *(math.log(row[truth]) for row in rows)])
            for truth in range(len(VOTES))
            if self._has(truth)
        }
        largest = max(sums.values(), default=0.0)
        parts = {vote: math.exp(total - largest) for vote, total in sums.items()}
        total = math.fsum(parts.values())
        return {vote: parts.get(vote, 0.0) / total if total else 0.0 for vote in VOTES}

    def side_accuracy(self, annotator: int) -> float:
        """Of the annotator's votes for a side where one response is better, the share for that one; 1/2 is chance."""
        right, wrong = self.tables.get(annotator, self.prior_table)[0, :2]
        return float(right / (right + wrong)) if right + wrong else PRIOR_ACCURACY

    def _has(self, code: int) -> bool:
        return bool(self.prevalence[code] > 0)


def fit_votes(votes: Sequence[Mapping[int, Vote]]) -> VoteModel:
    """Estimate from the votes alone how often each verdict is true and what each annotator answers then.

    Source: Dawid and Skene 1979, EM, over the verdicts that somebody gave. Two deviations. First and second share what
    is estimated, since nothing may depend on which response is stored as the first. And a prior of few votes, four of
    five right, its wrong ones spread as all votes are, keeps tables from 0 and 1: the answer is the most probable one
    under it. EM starts from that prior, so of the two answers that explain the votes equally well, all annotators right
    or all wrong, it is the one in which most are right; a single one who is wrong more often than not is found out.

    Neither the order of the pairs, of the votes or of the annotators nor an exchange of responses changes a digit.

    Args:
        votes: for each pair, the votes by annotator.

    Returns:
        A table for every annotator with a vote, the prior's for one who shares no pair with another. Two annotators
        cannot be told apart, nor two beside others who guess: that takes three who know something. With few pairs the
        tables are surer than they should be (20 pairs of accuracies 0.8, 0.7, 0.7: 0.78 right, 0.90 said).
    """
    annotators = sorted({annotator for pair_votes in votes for annotator in pair_votes})
    rows = {annotator: row for row, annotator in enumerate(annotators)}
    frequencies = _frequencies(votes)
    prior = _prior(frequencies)
    sums = prior.sum(axis=1, keepdims=True)
    prior_table = np.divide(prior, sums, out=np.zeros_like(prior), where=sums > 0)
    # A pair with one vote says nothing of who is right; equal pairs, and mirror images, need to be looked at only once.
    patterns = sorted(Counter(_pattern(pair_votes, rows) for pair_votes in votes if len(pair_votes) > 1).items())
    entries = [(item, row, code) for item, (pattern, _) in enumerate(patterns) for row, code in pattern]
    item, row, code = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    count = np.array([count for _, count in patterns], dtype=np.float64)
    tables = np.repeat(prior_table[None], len(annotators), axis=0)
    prevalence = frequencies
    for _ in range(_ITERATIONS if patterns else 0):
        belief = count * _beliefs(prevalence, tables, item, row, code)
        before = tables
        tables = _tables(belief, prior, item, row, code, size=len(annotators))
        prevalence = _mirrored(belief.sum(axis=1)) + _PRIOR_PAIRS * frequencies
        prevalence /= prevalence.sum()
        if np.abs(tables - before).max() < 1e-6:
            break
    return VoteModel(prevalence, dict(zip(annotators, tables, strict=True)), prior_table)


def _pattern(votes: Mapping[int, Vote], rows: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """The votes as (row, code), or those of the pair with its responses exchanged: the same for both."""
    codes = sorted((rows[annotator], VOTES.index(vote)) for annotator, vote in votes.items())
    return min(tuple(codes), tuple((row, EXCHANGED[code]) for row, code in codes))


def _frequencies(votes: Sequence[Mapping[int, Vote]]) -> _Floats:
    """(4,) the share of the votes for each verdict, first and second alike; 0 without a vote."""
    counts = Counter(vote for pair_votes in votes for vote in pair_votes.values())
    return _mirrored(np.array([counts[vote] for vote in VOTES], dtype=np.float64)) / max(1, counts.total())


def _mirrored(values: _Floats) -> _Floats:
    """The mean of (4,) values and those with the responses exchanged."""
    mean: _Floats = 0.5 * (values + values[list(EXCHANGED)])
    return mean


def _prior(frequencies: _Floats) -> _Floats:
    """(4, 4) prior votes by true verdict and vote, 0 for verdicts nobody gave; both sides share the votes of theirs."""
    others = np.where(np.eye(len(VOTES), dtype=bool), 0.0, frequencies)
    # Summed so that first and second exchange places without a rounding.
    sums = others[:, :2].sum(axis=1, keepdims=True) + others[:, 2:].sum(axis=1, keepdims=True)
    wrong = np.divide(others, sums, out=np.zeros_like(others), where=sums > 0)
    table = PRIOR_ACCURACY * np.eye(len(VOTES)) + (1 - PRIOR_ACCURACY) * wrong
    weights = np.where(frequencies > 0, _PRIOR_VOTES / np.array([2, 2, 1, 1]), 0.0)
    prior: _Floats = weights[:, None] * table
    return prior


def _beliefs(prevalence: _Floats, tables: _Floats, item: _Ints, row: _Ints, code: _Ints) -> _Floats:
    """(4, items) the probability of each verdict by the votes on each item, on the grid of exact sums."""
    items = int(item.max()) + 1
    truths = np.flatnonzero(prevalence > 0)
    scores = np.full((len(VOTES), items), -np.inf)
    for truth in truths:
        logs = _exact(np.log(tables[row, truth, code]))
        scores[truth] = _exact(np.log(prevalence[truth])) + np.bincount(item, weights=logs, minlength=items)
    belief = np.exp(scores - scores.max(axis=0))
    return _exact(belief / ((belief[0] + belief[1]) + (belief[2] + belief[3])))


def _tables(belief: _Floats, prior: _Floats, item: _Ints, row: _Ints, code: _Ints, *, size: int) -> _Floats:
    """(annotators, 4, 4) from the believed votes: both sides' rows are one row and its mirror image."""
    place = row * len(VOTES) + code
    shape = (size, len(VOTES))
    by_truth = [np.bincount(place, weights=part[item], minlength=size * len(VOTES)).reshape(shape) for part in belief]
    believed = np.stack(by_truth, axis=1).astype(np.float64)
    exchanged = list(EXCHANGED)
    counts = 0.5 * (believed + believed[:, exchanged][:, :, exchanged]) + prior
    sums = (counts[:, :, 0] + counts[:, :, 1]) + (counts[:, :, 2] + counts[:, :, 3])
    tables: _Floats = np.divide(counts, sums[..., None], out=np.zeros_like(counts), where=sums[..., None] > 0)
    return tables


def _exact(values: _Floats) -> _Floats:
    rounded: _Floats = np.round(values * _GRID) / _GRID
    return rounded
