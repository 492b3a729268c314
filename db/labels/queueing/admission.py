"""Whether a person may judge in a queue now. Sessions first, no commit."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.labels.queueing import gold
from db.labels.queueing.infos import QueueInfo, get_queue
from db.schema import teams
from models.quality.gold import GoldCount, Standing, standing


def standing_of(session: Session, info: QueueInfo, annotator_id: int) -> Standing:
    """Where a person stands by what they said of a queue's gold pairs."""
    if info.gold_bar is None:
        return "fine"
    count = gold.counts(session, info.id, of=annotator_id).get(annotator_id, GoldCount(0, 0))
    return standing(count, bar=info.gold_bar, has_stop=info.has_stop)


def require_named(session: Session, info: QueueInfo, annotator_id: int) -> None:
    """Let nobody by whom a queue is not for.

    Raises:
        PermissionError: If it settles contradictions and the person is not named for it.
    """
    if info.settles is None:
        return
    is_named = select(teams.Adjudicator.queue_id).filter_by(queue_id=info.id, annotator_id=annotator_id)
    if session.execute(is_named).first() is None:
        raise PermissionError(f"queue {info.id} ({info.name}) is for those named to settle contradictions")


def require_admitted(session: Session, queue_id: int, annotator_id: int) -> QueueInfo:
    """The queue of this id, if this person may judge in it now.

    Raises:
        LookupError: If there is none.
        PermissionError: If it settles contradictions and the person is not named for it.
        ValueError: If it is closed, or the person is stopped.
    """
    info = get_queue(session, queue_id)
    require_named(session, info, annotator_id)
    if info.is_closed:
        raise ValueError(f"queue {queue_id} ({info.name}) is closed and takes no verdicts")
    if standing_of(session, info, annotator_id) == "stopped":
        raise ValueError(f"queue {queue_id} ({info.name}) takes no more verdicts from you for now")
    return info
