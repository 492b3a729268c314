"""What a rule makes of a pair's votes: an outcome and its support. Knows neither texts nor the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args

from models.labelling.dawid_skene import VoteModel
from models.labelling.records import Outcome
from models.labelling.votes import Vote

Rule = Literal["majority", "unanimous", "weighted"]

_ROUNDING = 1e-9  # an exact half, come out of sums of logarithms, must not pass for more than half


def resolve(votes: Mapping[int, Vote], rule: Rule, *, model: VoteModel | None) -> tuple[Outcome, float] | None:
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

    Raises:
        ValueError: If the rule is none of the three, or it is `weighted` and the model is None.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be majority, unanimous or weighted, got {rule!r}")
    if not votes:
        return None
    shares = _probabilities(votes, model) if rule == "weighted" else _vote_shares(votes)
    winner = max(shares, key=lambda vote: shares[vote])
    is_settled = len(shares) == 1 if rule == "unanimous" else shares[winner] > 0.5 + _ROUNDING
    return winner if is_settled else "contradiction", shares[winner]


def _vote_shares(votes: Mapping[int, Vote]) -> dict[Vote, float]:
    return {vote: count / len(votes) for vote, count in Counter(votes.values()).items()}


def _probabilities(votes: Mapping[int, Vote], model: VoteModel | None) -> dict[Vote, float]:
    if model is None:
        raise ValueError("the rule weighted needs the model of all votes (fit_votes), got None")
    given = set(votes.values())
    return {vote: belief for vote, belief in model.beliefs(votes).items() if vote in given}
