"""What a rule makes of a pair's votes: an outcome and its support. Knows neither texts nor the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, Literal, get_args

from models.labelling.records import Outcome
from models.labelling.votes import Vote

if TYPE_CHECKING:
    from models.labelling.dawid_skene import VoteModel

Rule = Literal["majority", "unanimous", "weighted"]
STANDING_RULE: Rule = "majority"  # the one that every stored judgement updates at once

_ROUNDING = 1e-9  # an exact half, come out of sums of logarithms, must not pass for more than half


def resolve(
    votes: Mapping[int, Vote], rule: Rule, *, model: VoteModel | None, decision: Vote | None = None
) -> tuple[Outcome, float] | None:
    """What the rule makes of a pair's votes, and its support; None without a vote.

    `majority` takes the verdict of more than half of the votes, `unanimous` the verdict of all, `weighted` the verdict
    that is true with a probability above 1/2 by Dawid and Skene's model; a contradiction is what is left. The support
    is the share of the votes, or that probability, of the verdict with the largest one among those given, whether or
    not it won. A verdict that nobody gave never wins: one annotator alone who is wrong more often than not settles
    nothing.

    Args:
        votes: the votes by annotator.
        rule: how votes become an outcome.
        model: what `fit_votes` made of all votes. Read by `weighted` alone, which needs it.
        decision: the vote of the one who settles contradictions, among the votes: it stands under every rule, and the
            support is its share (or probability).

    Raises:
        ValueError: If the rule is none of the three, or it is `weighted` and the model is None.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be majority, unanimous or weighted, got {rule!r}")
    if not votes:
        return None
    shares = _probabilities(votes, model) if rule == "weighted" else _vote_shares(votes)
    if decision is not None:
        return decision, shares[decision]
    winner = max(shares, key=lambda vote: shares[vote])
    is_settled = len(shares) == 1 if rule == "unanimous" else shares[winner] > 0.5 + _ROUNDING
    return winner if is_settled else "contradiction", shares[winner]


def mean_strength(votes: Mapping[int, Vote], strengths: Mapping[int, float], outcome: Outcome) -> float | None:
    """How strongly the winner is preferred: the mean over the annotators who voted for it and said how strongly.

    Args:
        votes: the votes by annotator.
        strengths: by annotator, of those who said.
        outcome: what a rule made of the votes.

    Returns:
        None where no response won, or nobody who voted for it said how strongly.
    """
    if outcome not in ("first", "second"):
        return None
    agreeing = [strengths[annotator] for annotator, vote in votes.items() if vote == outcome and annotator in strengths]
    return fmean(agreeing) if agreeing else None


def _vote_shares(votes: Mapping[int, Vote]) -> dict[Vote, float]:
    if len(votes) == 1:  # of most pairs; a Counter takes ten times as long
        return dict.fromkeys(votes.values(), 1.0)
    return {vote: count / len(votes) for vote, count in Counter(votes.values()).items()}


def _probabilities(votes: Mapping[int, Vote], model: VoteModel | None) -> dict[Vote, float]:
    if model is None:
        raise ValueError("the rule weighted needs the model of all votes (fit_votes), got None")
    given = set(votes.values())
    return {vote: belief for vote, belief in model.beliefs(votes).items() if vote in given}
