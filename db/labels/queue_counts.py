"""How far queues have come, counted from the judgements of people. Sessions first, no commit."""

from __future__ import annotations

from sqlalchemy import ColumnElement, case, distinct, func, select, update
from sqlalchemy.orm import Session

from db.schema import labels


def recount(session: Session, condition: ColumnElement[bool]) -> None:
    """Bring the counts of the queue pairs that meet the condition, and of their queues, up to date."""
    table, queue, judgement = labels.QueuePair, labels.Queue, labels.Judgement
    people = (
        select(func.count(distinct(judgement.annotator_id)))
        .join(labels.Annotator, labels.Annotator.id == judgement.annotator_id)
        .where(
            judgement.first_response_id == table.first_response_id,
            judgement.second_response_id == table.second_response_id,
            judgement.verdict != "skip",
            labels.Annotator.kind == "person",
        )
        .scalar_subquery()
    )
    connection = session.connection()
    connection.execute(update(table).where(condition, table.judgement_count != people).values(judgement_count=people))
    required = select(queue.judgements_per_pair).where(queue.id == table.queue_id).scalar_subquery()
    has_changed = table.is_done != (table.judgement_count >= required)
    change = func.sum(case((table.is_done, -1), else_=1))
    changes = connection.execute(
        select(table.queue_id, change).where(condition, has_changed).group_by(table.queue_id)
    ).all()
    connection.execute(update(table).where(condition, has_changed).values(is_done=~table.is_done))
    for queue_id, difference in changes:
        connection.execute(update(queue).where(queue.id == queue_id).values(done_count=queue.done_count + difference))
