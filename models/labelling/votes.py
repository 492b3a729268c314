"""Votes, what a rule makes of them, and how accurate each annotator is. Knows neither texts nor the database."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.labelling.records import Outcome, Verdict

Vote = Literal["first", "second", "tie", "both_bad"]
Rule = Literal["majority", "unanimous", "weighted"]

VOTES: tuple[Vote, ...] = get_args(Vote)

# The prior on an accuracy: as if 5 more votes had been checked, 4 of them right. Above 1/2, so that an annotator nobody
# overlaps with can settle a pair; two such annotators agree on 0.65 of the pairs, about as people do on responses.
_PRIOR_RIGHT, _PRIOR_WRONG = 4.0, 1.0
PRIOR_ACCURACY = _PRIOR_RIGHT / (_PRIOR_RIGHT + _PRIOR_WRONG)

_WRONG_VOTES = len(VOTES) - 1
_ROUNDING = 1e-9  # an exact half, come out of sums of logarithms, must not pass for more than half


@dataclass(frozen=True, slots=True)
class VoteTable:
    """Everyone's votes on n pairs: `codes` (annotators, n) int8, places in VOTES, -1 where there is no vote."""

    annotators: tuple[int, ...]
    codes: NDArray[np.int8]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(n, 4) int64: how many votes each verdict has on each pair."""
        return np.stack([(self.codes == code).sum(axis=0) for code in range(len(VOTES))], axis=1)

    @property
    def by_pair(self) -> list[dict[int, Vote]]:
        """The votes on each pair by annotator id, as `resolve` and `annotator_accuracies` take them."""
        votes: list[dict[int, Vote]] = [{} for _ in range(self.codes.shape[1])]
        for annotator, codes in zip(self.annotators, self.codes, strict=True):
            places = np.flatnonzero(codes >= 0)
            for place, code in zip(places.tolist(), codes[places].tolist(), strict=True):
                votes[place][annotator] = VOTES[code]
        return votes


def annotator_vote(showings: Mapping[int, Verdict], *, has_both_orders: bool) -> Vote | None:
    """One annotator's vote on a pair: what its showings agree on, a tie where they contradict each other.

    `skip` and `unparsed` are no answer. Asked in both orders, an annotator without both answers has no vote.

    Args:
        showings: the stored verdict of each showing, by the id of the response that was on the left.
        has_both_orders: whether the annotator is asked once with each response on the left.
    """
    answers = [vote for verdict in showings.values() for vote in VOTES if vote == verdict]
    if len(answers) < (2 if has_both_orders else 1):
        return None
    return answers[0] if len(set(answers)) == 1 else "tie"


def resolve(
    votes: Mapping[int, Vote], rule: Rule, *, weights: Mapping[int, float] | None
) -> tuple[Outcome, float] | None:
    """What the rule makes of a pair's votes, and its support; None without a vote.

    `majority` takes the verdict of more than half of the votes, `unanimous` the verdict of all, `weighted` the verdict
    with more than half of the posterior; a contradiction is what is left. The support is the share (of the votes, or
    of the posterior) of the verdict with the largest share among those given, whether or not it won.

    The posterior is that of the one-coin model of `annotator_accuracies`: an annotator of accuracy a who votes for a
    verdict multiplies its odds against each other by 3a / (1 − a). All four verdicts start equal and the ones nobody
    gave keep their part, so a single annotator settles a pair only with an accuracy above 1/2. A verdict that nobody
    gave never wins, however inaccurate those are who gave another.

    Args:
        votes: the votes by annotator.
        rule: how votes become an outcome.
        weights: accuracies in (0, 1) by annotator, as `annotator_accuracies` gives them; an annotator without one has
            the prior's. Read by `weighted` alone, which needs them.

    Raises:
        ValueError: If the rule is none of the three, or it is `weighted` and the weights are None or outside (0, 1).
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be majority, unanimous or weighted, got {rule!r}")
    if not votes:
        return None
    shares = _posterior(votes, weights) if rule == "weighted" else _vote_shares(votes)
    winner = max(shares, key=lambda vote: shares[vote])
    is_settled = len(shares) == 1 if rule == "unanimous" else shares[winner] > 0.5 + _ROUNDING
    return winner if is_settled else "contradiction", shares[winner]


def annotator_accuracies(votes: Sequence[Mapping[int, Vote]]) -> dict[int, float]:
    """Estimate from the votes alone how often each annotator is right.

    Source: Dawid and Skene 1979, EM, with one parameter an annotator instead of a table: right with probability a,
    else any of the three other verdicts with (1 − a) / 3 each. Two deviations. The four verdicts are held equally
    likely beforehand instead of estimated, so that nothing depends on which response is stored as the first. And an
    accuracy counts 5 votes more than were given, 4 of them right: it never reaches 0 or 1, and the answer is the most
    probable one under that prior (Beta(5, 2)). Where annotators err among fewer than four verdicts, all come out
    somewhat high (0.83 for three annotators of 0.8 that only know first and second); their order stays.

    Args:
        votes: for each pair, the votes by annotator.

    Returns:
        For every annotator with a vote, in order of id, the accuracy in (0, 1), to about three decimals; the prior's
        0.8 for one who shares no pair with another. Two annotators, or two beside others who guess, cannot be told
        apart: that takes three who know something.
    """
    annotators = sorted({annotator for pair_votes in votes for annotator in pair_votes})
    rows = {annotator: row for row, annotator in enumerate(annotators)}
    # A pair with one vote says nothing of who is right, and equal pairs need to be looked at only once.
    patterns = Counter(tuple(sorted(pair_votes.items())) for pair_votes in votes if len(pair_votes) > 1)
    entries = [
        (item, rows[annotator], VOTES.index(vote))
        for item, pattern in enumerate(patterns)
        for annotator, vote in pattern
    ]
    item, row, code = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    count = np.fromiter(patterns.values(), dtype=np.float64)[item]
    return dict(zip(annotators, _fit(item, row, code, count=count, size=len(annotators)).tolist(), strict=True))


def _vote_shares(votes: Mapping[int, Vote]) -> dict[Vote, float]:
    return {vote: count / len(votes) for vote, count in Counter(votes.values()).items()}


def _posterior(votes: Mapping[int, Vote], weights: Mapping[int, float] | None) -> dict[Vote, float]:
    if weights is None:
        raise ValueError("the rule weighted needs the annotators' accuracies as weights, got None")
    log_odds: dict[Vote, list[float]] = {vote: [] for vote in VOTES}
    for annotator, vote in votes.items():
        accuracy = weights.get(annotator, PRIOR_ACCURACY)
        if not 0 < accuracy < 1:
            raise ValueError(f"weights are accuracies between 0 and 1, got {accuracy} for annotator {annotator}")
        log_odds[vote].append(math.log(_WRONG_VOTES * accuracy / (1 - accuracy)))
    # Exact sums: the outcome depends neither on the order of the votes nor on which response is the first.
    sums = {vote: math.fsum(terms) for vote, terms in log_odds.items()}
    largest = max(sums.values())
    parts = {vote: math.exp(total - largest) for vote, total in sums.items()}
    parts_sum = math.fsum(parts.values())
    return {vote: parts[vote] / parts_sum for vote in VOTES if log_odds[vote]}


def _fit(
    item: NDArray[np.int64],
    row: NDArray[np.int64],
    code: NDArray[np.int64],
    *,
    count: NDArray[np.float64],
    size: int,
) -> NDArray[np.float64]:
    """EM over (votes,) arrays: the item voted on, the annotator's row, the verdict's code, how often this item came."""
    accuracy = np.full(size, PRIOR_ACCURACY)
    total = np.bincount(row, weights=count, minlength=size)
    items = int(item.max(initial=-1)) + 1
    for _ in range(300):  # enough for all but annotators who guess, where it hardly matters
        log_odds = np.log(_WRONG_VOTES * accuracy / (1 - accuracy))
        scores = np.bincount(code * items + item, weights=log_odds[row], minlength=len(VOTES) * items)
        scores = scores.reshape(len(VOTES), items)
        belief = np.exp(scores - scores.max(axis=0))
        belief /= belief.sum(axis=0)
        right = np.bincount(row, weights=count * belief[code, item], minlength=size)
        previous = accuracy
        accuracy = (right + _PRIOR_RIGHT) / (total + _PRIOR_RIGHT + _PRIOR_WRONG)
        if np.abs(accuracy - previous).max(initial=0.0) < 1e-6:
            break
    return accuracy
