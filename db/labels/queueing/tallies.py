"""What people have said of the pairs of queues, in figures. Sessions first, records out, no commit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema import labels
from models.labelling.rules import STANDING_RULE


@dataclass(frozen=True, slots=True)
class Tally:
    """What people have said of a queue's pairs, in it or elsewhere.

    `people`: how many of them; `agreement`: the mean share of the votes behind the majority, of those with two votes or
    more; None where there are none.
    """

    verdicts: int
    skips: int
    people: int
    agreement: float | None


def tallies(session: Session, queue_ids: Collection[int]) -> dict[int, Tally]:
    """The tally of each of these queues, by id."""
    judged, agreement = _judged(session, queue_ids), _agreement(session, queue_ids)
    return {id_: Tally(*judged.get(id_, (0, 0, 0)), agreement.get(id_)) for id_ in queue_ids}


def _judged(session: Session, queue_ids: Collection[int]) -> dict[int, tuple[int, int, int]]:
    """By queue: verdicts, skips, people; queues that nobody has judged in are missing."""
    pair, judgement = labels.QueuePair, labels.Judgement
    is_skip = judgement.verdict == "skip"
    counts = (
        func.count().filter(~is_skip),
        func.count().filter(is_skip),
        func.count(func.distinct(judgement.annotator_id)),
    )
    query = (
        select(pair.queue_id, *counts)
        .join(
            judgement,
            (judgement.first_response_id == pair.first_response_id)
            & (judgement.second_response_id == pair.second_response_id),
        )
        .where(pair.queue_id.in_(queue_ids))
        .where(judgement.annotator_id.in_(select(labels.Annotator.id).filter_by(kind="person")))
        .group_by(pair.queue_id)
    )
    return {id_: (verdicts, skips, people) for id_, verdicts, skips, people in session.execute(query).tuples()}


def _agreement(session: Session, queue_ids: Collection[int]) -> dict[int, float]:
    """By queue; those without a pair that has two votes are missing."""
    pair, preference = labels.QueuePair, labels.Preference
    query = (
        select(pair.queue_id, func.avg(preference.support))
        .join(
            preference,
            (preference.first_response_id == pair.first_response_id)
            & (preference.second_response_id == pair.second_response_id),
        )
        .where(pair.queue_id.in_(queue_ids), preference.rule == STANDING_RULE, preference.vote_count >= 2)
        .group_by(pair.queue_id)
    )
    return {id_: float(value) for id_, value in session.execute(query).tuples()}
