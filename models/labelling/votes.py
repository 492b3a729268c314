"""Votes: what an annotator's showings agree on, and everyone's on many pairs. Knows neither texts nor the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.labelling.records import Verdict

Vote = Literal["first", "second", "tie", "both_bad"]

VOTES: tuple[Vote, ...] = get_args(Vote)
EXCHANGED = (1, 0, 2, 3)
"""The place in VOTES of each vote once the two responses are exchanged."""


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
        """The votes on each pair by annotator id, as `resolve` and `fit_votes` take them."""
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
