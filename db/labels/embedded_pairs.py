"""Pairs with where the vectors of their two responses lie: labelled ones, and those of a run. No commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from db.schema import curation, labels
from models.labelling.records import PairKey
from models.labelling.rules import STANDING_RULE
from models.records import VectorLocation

_DECIDED = ("first", "second")


@dataclass(frozen=True, slots=True)
class EmbeddedPair:
    """Two responses to a prompt that an embedder has embedded, the lower id first.

    Attributes:
        first: where the first one's vector lies.
        second: where the second one's does.
        first_length: the first text's characters.
        second_length: the second one's.
        outcome: what the majority says; None without a label.
        support: the share of the votes behind the outcome; None without a label.
        dialogue: the key of what the user says first: prompts that begin alike share it.
    """

    first: VectorLocation
    second: VectorLocation
    first_length: int
    second_length: int
    outcome: str | None
    support: float | None
    dialogue: str

    @property
    def pair(self) -> PairKey:
        """The pair's ids."""
        return PairKey(self.first.response_id, self.second.response_id)

    @property
    def is_decided(self) -> bool:
        """Whether one of the two is preferred."""
        return self.outcome in _DECIDED


def decided_pairs(session: Session, embedder_id: int) -> list[EmbeddedPair]:
    """All pairs of which the majority prefers one and whose responses both have a vector of this embedder, by ids."""
    table = labels.Preference
    query = _with_vectors(table.first_response_id, table.second_response_id, embedder_id)
    query = query.add_columns(table.outcome, table.support)
    return _read(session, query.where(table.rule == STANDING_RULE, table.outcome.in_(_DECIDED)))


def pairs_of_run(session: Session, run_id: int, embedder_id: int, *, is_decided: bool = False) -> list[EmbeddedPair]:
    """The different pairs of a run whose responses both have a vector of this embedder, by ids.

    `is_decided`: only those of which one response is preferred; else labelled or not.
    """
    table, preference = curation.Pair, labels.Preference
    query = _with_vectors(table.first_response_id, table.second_response_id, embedder_id)
    label = (
        (preference.rule == STANDING_RULE)
        & (preference.first_response_id == table.first_response_id)
        & (preference.second_response_id == table.second_response_id)
    )
    query = query.add_columns(preference.outcome, preference.support).outerjoin(preference, label)
    if is_decided:
        query = query.where(preference.outcome.in_(_DECIDED))
    return _read(session, query.where(table.run_id == run_id).distinct())


def strategies_of_pairs(session: Session, run_id: int) -> dict[PairKey, frozenset[str]]:
    """Which strategies of a run selected a pair, by pair."""
    table = curation.Pair
    query = select(table.first_response_id, table.second_response_id, table.strategy).where(table.run_id == run_id)
    found: dict[PairKey, set[str]] = {}
    for first_id, second_id, strategy in session.execute(query):
        found.setdefault(PairKey(first_id, second_id), set()).add(strategy)
    return {pair: frozenset(strategies) for pair, strategies in found.items()}


def _with_vectors(first_id: Any, second_id: Any, embedder_id: int) -> Select[Any]:
    """A query of pairs: their dialogue, places and lengths of both responses; the label is yet to come."""
    first, second = aliased(curation.Response), aliased(curation.Response)
    first_vector, second_vector = aliased(curation.Embedding), aliased(curation.Embedding)
    sides = [
        (response.prompt_id, response.id, vector.shard, vector.row, func.length(response.text))
        for response, vector in ((first, first_vector), (second, second_vector))
    ]
    return (
        select(curation.Prompt.first_turn_key, *sides[0], *sides[1])
        .select_from(first_id.class_)
        .join(first, first.id == first_id)
        .join(second, second.id == second_id)
        .join(curation.Prompt, curation.Prompt.id == first.prompt_id)
        .join(first_vector, (first_vector.response_id == first_id) & (first_vector.embedder_id == embedder_id))
        .join(second_vector, (second_vector.response_id == second_id) & (second_vector.embedder_id == embedder_id))
        .where(first_vector.shard.is_not(None), second_vector.shard.is_not(None))
        .order_by(first.id, second.id)
    )


def _read(session: Session, query: Select[Any]) -> list[EmbeddedPair]:
    return [
        EmbeddedPair(
            first=VectorLocation(*row[1:5]),
            second=VectorLocation(*row[6:10]),
            first_length=row[5],
            second_length=row[10],
            outcome=row[11],
            support=row[12],
            dialogue=row[0],
        )
        for row in session.execute(query)
    ]
