"""How far queues have come, counted from the judgements of people. Sessions first, no commit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, case, distinct, func, select, update
from sqlalchemy.orm import Session

from db.schema import labels, teams


def recount(session: Session, condition: ColumnElement[bool]) -> None:
    """Bring the counts of the queue pairs that meet the condition, and of their queues, up to date."""
    table, queue, people = labels.QueuePair, labels.Queue, _people()
    connection = session.connection()
    has_changed = (table.judgement_count != people) | (table.is_done != (people >= table.wanted))
    done = case((people >= table.wanted, 1), else_=0) - case((table.is_done, 1), else_=0)
    judged = _at_most(people, table.wanted) - _at_most(table.judgement_count, table.wanted)
    changes = connection.execute(
        select(table.queue_id, func.sum(done), func.sum(judged)).where(condition, has_changed).group_by(table.queue_id)
    ).all()
    counted = {"judgement_count": people, "is_done": people >= table.wanted}
    connection.execute(update(table).where(condition, has_changed).values(counted))
    for queue_id, done_change, judged_change in changes:
        changed = {"done_count": queue.done_count + done_change, "judged_count": queue.judged_count + judged_change}
        connection.execute(update(queue).where(queue.id == queue_id).values(changed))


def count_anew(session: Session, queue_id: int) -> None:
    """Count all of a queue: what it holds or wants has changed."""
    table, queue = labels.QueuePair, labels.Queue
    connection = session.connection()
    of_queue = table.queue_id == queue_id
    connection.execute(
        update(table)
        .where(of_queue, table.is_done != (table.judgement_count >= table.wanted))
        .values(is_done=table.judgement_count >= table.wanted)
    )
    totals = (
        func.count(),
        func.coalesce(func.sum(case((table.is_done, 1), else_=0)), 0),
        func.coalesce(func.sum(table.wanted), 0),
        func.coalesce(func.sum(_at_most(table.judgement_count, table.wanted)), 0),
    )
    names = ("pair_count", "done_count", "wanted_count", "judged_count")
    found = connection.execute(select(*totals).where(of_queue)).one()
    connection.execute(update(queue).where(queue.id == queue_id).values(dict(zip(names, found, strict=True))))


def _people() -> ScalarSelect[int]:
    """How many people have judged a queue's pair; where a queue settles contradictions, those who did so in it."""
    table, judgement = labels.QueuePair, labels.Judgement
    settles = select(teams.Adjudication.queue_id)
    return (
        select(func.count(distinct(judgement.annotator_id)))
        .join(labels.Annotator, labels.Annotator.id == judgement.annotator_id)
        .where(
            judgement.first_response_id == table.first_response_id,
            judgement.second_response_id == table.second_response_id,
            judgement.verdict != "skip",
            labels.Annotator.kind == "person",
            table.queue_id.not_in(settles) | (judgement.queue_id == table.queue_id),
        )
        .scalar_subquery()
    )


def _at_most(count: Any, most: Any) -> ColumnElement[int]:
    return case((count < most, count), else_=most)
