"""Pairs that have a label, by where their vectors lie, and selected pairs that are nearly one of them. No commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.engine import insert_new, row_of
from db.schema import curation, labels

_UNSETTLED = "contradiction"


@dataclass(frozen=True, slots=True)
class LabelledLocation:
    """A labelled pair, and where its vectors lie: shard and row of each."""

    first_response_id: int
    second_response_id: int
    first: tuple[str, int]
    second: tuple[str, int]


@dataclass(frozen=True, slots=True)
class LabelledAlike:
    """One row of `labelled_alike`; see there."""

    prompt_id: int
    first_response_id: int
    second_response_id: int
    labelled_first_id: int
    labelled_second_id: int
    similarity: float
    is_left_out: bool


def labelled_locations(
    session: Session, embedder_id: int, rule: str, *, before: datetime, size: int
) -> Iterator[list[LabelledLocation]]:
    """The pairs with a settled preference under a rule that stood at a time, both responses embedded; by their ids.

    In blocks of `size`.
    """
    table, first, second = labels.Preference, aliased(curation.Embedding), aliased(curation.Embedding)
    query = (
        select(table.first_response_id, table.second_response_id, first.shard, first.row, second.shard, second.row)
        .join(first, (first.response_id == table.first_response_id) & (first.embedder_id == embedder_id))
        .join(second, (second.response_id == table.second_response_id) & (second.embedder_id == embedder_id))
        .where(table.rule == rule, table.outcome != _UNSETTLED, table.updated_at <= before)
        .where(first.shard.is_not(None), second.shard.is_not(None))
        .order_by(table.first_response_id, table.second_response_id)
    )
    rows = iter(session.execute(query, execution_options={"yield_per": size}).tuples())
    while block := list(islice(rows, size)):
        yield [
            LabelledLocation(first_id, second_id, (shard or "", row or 0), (other_shard or "", other_row or 0))
            for first_id, second_id, shard, row, other_shard, other_row in block
        ]


def store_labelled_alike(session: Session, run_id: int, found: Iterable[LabelledAlike]) -> None:
    """Store which of a run's selected pairs are nearly labelled; a pair that several strategies select once."""
    insert_new(session, curation.LabelledAlike, [{"run_id": run_id, **row_of(one)} for one in found])


def count_labelled_alike(session: Session, run_id: int) -> tuple[int, int]:
    """How many different pairs of a run are nearly labelled, and how many of them were left out for it."""
    table = curation.LabelledAlike
    query = select(table.is_left_out, func.count()).filter_by(run_id=run_id).group_by(table.is_left_out)
    counts = {bool(is_left_out): count for is_left_out, count in session.execute(query).tuples()}
    return sum(counts.values()), counts.get(True, 0)
