"""What each annotator answers where which verdict is true, estimated from votes alone (Dawid and Skene 1979)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.labelling.votes import EXCHANGED, VOTES, Vote

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# What an annotator is taken for before any vote was compared, and what a table starts from: four of five votes right.
PRIOR_ACCURACY = 0.8
# Votes the prior counts as, where one response is better and elsewhere. Half a vote only keeps a table from 0 and 1:
# with 5 votes, 600 pairs of accuracies 0.9, 0.6, 0.6 are right in 0.91 of the cases and say 0.84, since few votes tell
# those three from three alike. Ties are rarer and told apart less well: with half a vote there the verdict "tie"
# becomes a class for all that is hard (0.82 right instead of 0.88 where no pair is a tie).
_PRIOR_VOTES = np.array([0.5, 0.5, 5.0, 5.0])
_PRIOR_PAIRS = 1.0

_ITERATIONS = 1000  # three annotators of whom two know little take some 500
_RESAMPLES = (25, 100)  # at least and at most; the time of one grows with the patterns
_RESAMPLED_PATTERNS = 200_000
_ROUGHLY = 1e-5  # how far the last step moves the tables of a draw: far less than draws differ
_GRID = 2.0**30  # sums of multiples of 2⁻³⁰ are exact up to 2²³, so that they depend on no order

_Floats = NDArray[np.float64]


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

    Source: Dawid and Skene 1979, EM, over the verdicts that somebody gave. Three deviations. First and second share
    what is estimated, since nothing may depend on which response is stored as the first. A prior of few votes, four of
    five right, its wrong ones spread as all votes are, keeps tables from 0 and 1: the answer is the most probable one
    under it. EM starts from that prior, so of the two answers that explain the votes equally well, all annotators right
    or all wrong, it is the one in which most are right; a single one who is wrong more often than not is found out.
    And all annotators have one table unless tables of their own explain the votes better by Akaike's criterion (1974):
    of three who are alike, 100 pairs make one seem nearly always right, and two guess.

    Neither the order of the pairs, of the votes or of the annotators nor an exchange of responses changes a digit.

    Args:
        votes: for each pair, the votes by annotator.

    Returns:
        A table for every annotator with a vote, the prior's for one who shares no pair with another. Two annotators
        cannot be told apart, nor two beside others who guess: that takes three who know something, and where only two
        do, beliefs are surer than they should be (1000 pairs of accuracies 0.8, 0.8, 0.5: 0.80 right, 0.88 said).
    """
    patterns = _Patterns.of(votes)
    prior_table = _normalised(patterns.prior.T[None])[0].T
    tables = dict.fromkeys(patterns.annotators, prior_table)
    if not len(patterns.count):
        return VoteModel(patterns.frequencies, tables, prior_table)
    count = patterns.count[:, None]
    own = _fit(patterns, patterns.given, count)
    shared = _fit(patterns, patterns.given_by_anyone, count)
    is_compared = patterns.given.sum(axis=0).reshape(-1, len(VOTES)).any(axis=1)
    gain = own.log_likelihood[0] - shared.log_likelihood[0]
    best = own if gain > _parameters(patterns.frequencies) * (is_compared.sum() - 1) else shared
    for row, annotator in enumerate(patterns.annotators):
        if is_compared[row]:
            tables[annotator] = best.tables[0, row if best is own else 0]
    return VoteModel(best.prevalence[0], tables, prior_table)


def resampled_accuracies(
    votes: Sequence[Mapping[int, Vote]], clusters: NDArray[np.int64] | None = None
) -> dict[int, _Floats]:
    """For each annotator, `side_accuracy` by tables of their own, of the pairs and then of pairs drawn anew from them.

    The first is that of the votes, each further one of as many pairs drawn with replacement (a bootstrap), or of as
    many clusters, where `clusters` (pairs,) name each pair's and some have several, so that they vary as an estimate
    does: what one annotator is worth depends on what the others are. As many as 100, fewer where
    many pairs have votes unlike any other's. The same votes give the same draws. Empty where no two share a pair.
    """
    patterns = _Patterns.of(votes)
    if not len(patterns.count):
        return {}
    total = int(patterns.count.sum())
    times = int(np.clip(_RESAMPLED_PATTERNS // len(patterns.count), *_RESAMPLES))
    random = np.random.default_rng(0)
    draws = None if clusters is None else _drawn_clusters(votes, clusters, times, random)
    if draws is None:
        draws = random.multinomial(total, patterns.count / total, size=times)
    count = np.concatenate([patterns.count[None], draws]).T.astype(np.float64)
    right, wrong = _fit(patterns, patterns.given, count, tolerance=_ROUGHLY).tables[:, :, 0, :2].T
    sums = right + wrong
    shares = np.divide(right, sums, out=np.full_like(right, PRIOR_ACCURACY), where=sums > 0)
    return dict(zip(patterns.annotators, shares, strict=True))


def _drawn_clusters(
    votes: Sequence[Mapping[int, Vote]], clusters: NDArray[np.int64], times: int, random: np.random.Generator
) -> NDArray[np.int64] | None:
    """(times, n) how often each pattern comes in as many clusters drawn anew; None where each is of one pair."""
    from scipy.sparse import csr_array

    annotators = sorted({annotator for pair_votes in votes for annotator in pair_votes})
    rows = {annotator: row for row, annotator in enumerate(annotators)}
    compared = [place for place, pair_votes in enumerate(votes) if len(pair_votes) > 1]
    names, groups = np.unique(clusters[compared], return_inverse=True)
    if len(names) == len(compared):
        return None
    patterns = [_pattern(votes[place], rows) for place in compared]
    numbers = {pattern: number for number, pattern in enumerate(sorted(set(patterns)))}
    columns = [numbers[pattern] for pattern in patterns]
    held = csr_array((np.ones(len(columns), dtype=np.int64), (columns, groups)), shape=(len(numbers), len(names)))
    drawn = (np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(times))
    return np.stack([held @ counts for counts in drawn])


@dataclass(frozen=True, slots=True)
class _Patterns:
    """The votes on pairs with two votes and more, equal pairs and mirror images once: `count` (n,) how often each is.

    `given` (n, annotators × 4): 1 for each vote, by annotator and then by place in VOTES; `given_by_anyone` (n, 4)
    how many votes. `frequencies` and `prior` know the pairs with one vote, too.
    """

    annotators: tuple[int, ...]
    count: _Floats
    given: csr_array
    given_by_anyone: csr_array
    frequencies: _Floats
    prior: _Floats

    @classmethod
    def of(cls, votes: Sequence[Mapping[int, Vote]]) -> _Patterns:
        from scipy.sparse import csr_array  # slow to load, and who reads votes alone needs none

        annotators = tuple(sorted({annotator for pair_votes in votes for annotator in pair_votes}))
        rows = {annotator: row for row, annotator in enumerate(annotators)}
        # A pair with one vote says nothing of who is right.
        patterns = sorted(Counter(_pattern(pair_votes, rows) for pair_votes in votes if len(pair_votes) > 1).items())
        entries = [(item, row, code) for item, (pattern, _) in enumerate(patterns) for row, code in pattern]
        item, row, code = np.array(entries, dtype=np.int64).reshape(-1, 3).T
        size, width = len(patterns), len(VOTES)
        ones = np.ones(len(item))
        frequencies = _frequencies(votes)
        return cls(
            annotators=annotators,
            count=np.array([count for _, count in patterns], dtype=np.float64),
            given=csr_array((ones, (item, row * width + code)), shape=(size, len(annotators) * width)),
            given_by_anyone=csr_array((ones, (item, code)), shape=(size, width)),
            frequencies=frequencies,
            prior=_prior(frequencies),
        )


@dataclass(frozen=True, slots=True)
class _Fit:
    """Of m fits: `tables` (m, annotators, truths, votes), `prevalence` (m, 4), `log_likelihood` (m,)."""

    tables: _Floats
    prevalence: _Floats
    log_likelihood: _Floats


def _fit(patterns: _Patterns, given: csr_array, count: _Floats, *, tolerance: float = 1e-6) -> _Fit:
    """EM on each column of `count` (n, m); a table for every four columns of `given`."""
    width, fits = len(VOTES), count.shape[1]
    by_vote = given.T.tocsr()
    prior = patterns.prior.T[None, ..., None]
    # (annotators, votes, truths, m) and (truths, m), of the fits that still change.
    tables = np.repeat(np.repeat(_normalised(prior), given.shape[1] // width, axis=0), fits, axis=3)
    prevalence = np.repeat(patterns.frequencies[:, None], fits, axis=1)
    all_tables, all_prevalence, is_open = tables.copy(), prevalence.copy(), np.arange(fits)
    for _ in range(_ITERATIONS):
        belief, _ = _beliefs(prevalence, tables, given)
        belief *= count[:, None, is_open]
        before = tables
        tables = _tables(belief, prior, by_vote)
        prevalence = _mirrored(belief.sum(axis=0)) + _PRIOR_PAIRS * patterns.frequencies[:, None]
        prevalence /= (prevalence[0] + prevalence[1]) + (prevalence[2] + prevalence[3])
        all_tables[..., is_open], all_prevalence[:, is_open] = tables, prevalence
        changes = np.abs(tables - before).max(axis=(0, 1, 2)) >= tolerance
        if not changes.any():
            break
        is_open, tables, prevalence = is_open[changes], tables[..., changes], prevalence[:, changes]
    _, log_likelihoods = _beliefs(all_prevalence, all_tables, given)
    return _Fit(all_tables.transpose(3, 0, 2, 1), all_prevalence.T, (count * log_likelihoods).sum(axis=0))


def _parameters(frequencies: _Floats) -> int:
    """How many shares of a table are free: both sides have one row, and equal shares in the other rows."""
    has_sides, has_tie, has_both_bad = (bool(part > 0) for part in frequencies[1:])
    votes = 2 * has_sides + has_tie + has_both_bad
    return has_sides * (votes - 1) + (has_tie + has_both_bad) * (votes - has_sides - 1)


def _pattern(votes: Mapping[int, Vote], rows: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """The votes as (row, code), or those of the pair with its responses exchanged: the same for both."""
    codes = sorted((rows[annotator], VOTES.index(vote)) for annotator, vote in votes.items())
    return min(tuple(codes), tuple((row, EXCHANGED[code]) for row, code in codes))


def _frequencies(votes: Sequence[Mapping[int, Vote]]) -> _Floats:
    """(4,) the share of the votes for each verdict, first and second alike; 0 without a vote."""
    counts = Counter(vote for pair_votes in votes for vote in pair_votes.values())
    return _mirrored(np.array([counts[vote] for vote in VOTES], dtype=np.float64)) / max(1, counts.total())


def _mirrored(values: _Floats) -> _Floats:
    """The mean of (4, …) values and those with the responses exchanged."""
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


def _beliefs(prevalence: _Floats, tables: _Floats, given: csr_array) -> tuple[_Floats, _Floats]:
    """(n, 4, m) the probability of each verdict by each pattern's votes, and (n, m) the logarithm of the votes' own.

    All on the grid of exact sums.
    """
    logs = _exact(np.log(tables, out=np.zeros_like(tables), where=tables > 0)).reshape(given.shape[1], -1)
    priors = _exact(np.log(prevalence, out=np.full_like(prevalence, -np.inf), where=prevalence > 0))
    scores = priors + (given @ logs).reshape(-1, *prevalence.shape)
    largest = scores.max(axis=1)
    belief = np.exp(scores - largest[:, None])
    sums = (belief[:, 0] + belief[:, 1]) + (belief[:, 2] + belief[:, 3])
    return _exact(belief / sums[:, None]), _exact(largest + np.log(sums))


def _tables(belief: _Floats, prior: _Floats, by_vote: csr_array) -> _Floats:
    """(tables, votes, truths, m) from the believed votes: both sides' shares are those of one and its mirror image."""
    width, fits = belief.shape[1:]
    believed = (by_vote @ belief.reshape(len(belief), -1)).reshape(-1, len(VOTES), width, fits)
    exchanged = list(EXCHANGED)
    return _normalised(0.5 * (believed + believed[:, exchanged][:, :, exchanged]) + prior)


def _normalised(counts: _Floats) -> _Floats:
    """The counts (tables, votes, …) as shares of the votes; 0 where there are none."""
    # Summed so that first and second exchange places without a rounding.
    sums = ((counts[:, 0] + counts[:, 1]) + (counts[:, 2] + counts[:, 3]))[:, None]
    shares: _Floats = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    return shares


def _exact(values: _Floats) -> _Floats:
    rounded: _Floats = np.round(values * _GRID) / _GRID
    return rounded
