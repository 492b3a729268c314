"""How certain the labels of pairs are, by four measures: what votes, grades and scores say of it. Knows no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from statistics import fmean
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from models.labelling.records import PairKey
from models.labelling.votes import Vote
from models.quality.records import LabelledPair
from models.studies.noise import CertaintyOfPairs

Measure = Literal["agreement", "accuracy", "clarity", "score gap"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
"""What certainty is measured by, what speaks most of noise first."""

MEANINGS: Mapping[Measure, str] = MappingProxyType(
    {
        "agreement": "share of any two annotators' votes on a pair that are equal",
        "accuracy": "share of the votes that are right by the gold label; a tie is half right",
        "clarity": "size of the mean grade, 0 (neither) to 1 (clearly one)",
        "score gap": "difference of the two responses' scores, in the data set's unit",
    }
)
MISSING: Mapping[Measure, str] = MappingProxyType(
    {
        "agreement": "no pair has votes of two annotators",
        "accuracy": "no annotator is named as gold beside others (--data.gold NAME)",
        "clarity": "no vote has a grade",
        "score gap": "no two responses of a pair have scores",
    }
)
_SIGNS: Mapping[Vote, float] = MappingProxyType({"first": 1.0, "second": -1.0, "tie": 0.0, "both_bad": 0.0})


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of one pair.

    Attributes:
        votes: by annotator id, without gold's.
        strengths: how strongly they prefer a side (0 to 1), by annotator id, of those who say so.
        gold: the true vote, None where it is not known.
        scores: of the first and the second response, None where one has none.
    """

    votes: Mapping[int, Vote]
    strengths: Mapping[int, float] = field(default_factory=dict)
    gold: Vote | None = None
    scores: tuple[float, float] | None = None


def certainty(
    measure: Measure, pairs: Sequence[LabelledPair], said: Mapping[PairKey, Said], *, annotator: int | None = None
) -> CertaintyOfPairs:
    """The pairs that a measure can be taken of; those without a similarity are left out.

    A grade is a vote with a strength; a tie of an annotator who grades is the grade 0, on any pair.

    Args:
        measure: which one.
        pairs: of a run, in any order.
        said: of each pair, what is said of it; pairs that are missing have no label.
        annotator: for `accuracy` the one whose votes are looked at; None: of all.
    """
    graders = {id_ for one in said.values() for id_ in one.strengths}
    values: dict[Measure, Callable[[Said], float | None]] = {
        "agreement": lambda one: agreement_of(one.votes),
        "accuracy": lambda one: _accuracy(one, annotator),
        "clarity": lambda one: _clarity(one, graders),
        "score gap": lambda one: None if one.scores is None else abs(one.scores[0] - one.scores[1]),
    }
    measured = [
        (value, pair)
        for pair in pairs
        if pair.similarity is not None and pair.pair in said and (value := values[measure](said[pair.pair])) is not None
    ]
    return CertaintyOfPairs(
        values=np.array([value for value, _ in measured], dtype=np.float64),
        similarity=np.array([pair.similarity for _, pair in measured], dtype=np.float64),
        length_ratio=np.array([_length_ratio(pair) for _, pair in measured], dtype=np.float64),
        prompts=np.array([pair.prompt_id for _, pair in measured], dtype=np.int64),
    )


def agreement_of(votes: Mapping[int, Vote]) -> float | None:
    """The share of couples of votes, by annotator, that are equal; None of fewer than two votes."""
    couples = comb(len(votes), 2)
    return sum(comb(count, 2) for count in Counter(votes.values()).values()) / couples if couples else None


def _accuracy(said: Said, annotator: int | None) -> float | None:
    """The share of right votes where gold is for a side."""
    if said.gold not in ("first", "second"):
        return None
    votes = _of(said.votes, annotator)
    return fmean((1 + _SIGNS[vote] * _SIGNS[said.gold]) / 2 for vote in votes) if votes else None


def _of(votes: Mapping[int, Vote], annotator: int | None) -> list[Vote]:
    return [vote for id_, vote in votes.items() if annotator in (None, id_)]


def _clarity(said: Said, graders: Iterable[int]) -> float | None:
    """The size of the mean grade."""
    grades = [
        _SIGNS[vote] * said.strengths.get(id_, 0.0)
        for id_, vote in said.votes.items()
        if id_ in said.strengths or (id_ in graders and not _SIGNS[vote])
    ]
    return abs(fmean(grades)) if grades else None


def _length_ratio(pair: LabelledPair) -> float:
    shorter, longer = sorted((pair.first_length, pair.second_length))
    return shorter / max(longer, 1)
