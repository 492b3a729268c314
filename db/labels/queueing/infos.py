"""The queues there are and what is set for each. Sessions first, records out, no commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.schema import labels, teams

LONGEST_QUEUE_NAME = 200


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue and how far it has come: `done_count` of `pair_count` pairs are judged by enough people.

    `judgements_per_pair` people judge each pair of the share `overlap`, one each of the others; of the `wanted_count`
    judgements that makes there are `judged_count`. `settles`: the queue whose contradictions this one settles.
    """

    id: int
    name: str
    judgements_per_pair: int
    pair_count: int
    done_count: int
    overlap: float
    wanted_count: int
    judged_count: int
    is_closed: bool
    has_strength: bool
    has_comment: bool
    has_editing: bool
    gold_share: float
    gold_bar: float | None
    has_stop: bool
    settles: int | None


def list_queues(session: Session) -> list[QueueInfo]:
    """All queues: those that were given a place by it, then the others, newest first."""
    table = labels.Queue
    return [
        QueueInfo(*row) for row in session.execute(_infos().order_by(table.place.is_(None), table.place, -table.id))
    ]


def queues_for(session: Session, annotator_id: int) -> list[QueueInfo]:
    """The queues that a person may work on, in the same order; closed ones are left out."""
    named = select(teams.Adjudicator.queue_id).filter_by(annotator_id=annotator_id)
    own = set(session.scalars(named))
    return [info for info in list_queues(session) if not info.is_closed and (info.settles is None or info.id in own)]


def get_queue(session: Session, queue_id: int) -> QueueInfo:
    """The queue of this id.

    Raises:
        LookupError: If there is none.
    """
    row = session.execute(_infos().where(labels.Queue.id == queue_id)).one_or_none()
    if row is None:
        existing_queues = ", ".join(f"{queue.id} ({queue.name})" for queue in list_queues(session)) or "none yet"
        raise LookupError(f"there is no queue {queue_id}; there are: {existing_queues}")
    return QueueInfo(*row)


def opened_at(session: Session, queue_id: int) -> datetime:
    """When a queue was opened (UTC)."""
    return as_utc(session.scalars(select(labels.Queue.created_at).filter_by(id=queue_id)).one())


def _infos() -> Select[tuple[object, ...]]:
    table = labels.Queue
    columns = (table.id, table.name, table.judgements_per_pair, table.pair_count, table.done_count, table.overlap,
               table.wanted_count, table.judged_count, table.is_closed, table.has_strength, table.has_comment,
               table.has_editing, table.gold_share, table.gold_bar, table.has_stop)  # fmt: skip
    of_queue = teams.Adjudication.queue_id == table.id
    return select(*columns, teams.Adjudication.settled_queue_id).outerjoin(teams.Adjudication, of_queue)
