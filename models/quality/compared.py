"""Pairs on which two annotators are compared: one that is trusted, and one that is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from models.labelling.records import PairKey
from models.labelling.votes import Vote
from models.quality.records import LabelledPair

SIDES = ("first", "second")


@dataclass(frozen=True, slots=True)
class Answer:
    """One showing of a pair: whether the first response was on the left, and which of the two was preferred."""

    is_first_left: bool
    vote: Vote


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A pair on which the trusted annotator has a vote, and what the annotator that is looked at says of it.

    `vote`: None where it has none. `answers`: its showings that say something; `margin` of the first against the
    second, None where it gives none.
    """

    pair: LabelledPair
    trusted: Vote
    vote: Vote | None
    answers: tuple[Answer, ...]
    margin: float | None = None

    @property
    def key(self) -> PairKey:
        """Which pair."""
        return self.pair.pair

    @property
    def prompt(self) -> int | PairKey:
        """What it shares with dependent pairs."""
        return self.key if self.pair.prompt_id is None else self.pair.prompt_id

    @property
    def is_longer_better(self) -> bool | None:
        """Whether the trusted annotator prefers the longer one; None where it prefers none, or both are as long."""
        first, second = self.pair.first_length, self.pair.second_length
        if self.trusted not in SIDES or first == second:
            return None
        return (self.trusted == "first") == (first > second)

    @property
    def length_ratio(self) -> float:
        """The shorter length over the longer, 1 for two empty ones."""
        lengths = sorted((self.pair.first_length, self.pair.second_length))
        return lengths[0] / lengths[1] if lengths[1] else 1.0
