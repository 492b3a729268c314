"""What whoever leads a team sets for a queue, at any time. Sessions first, no commit.

Functions take turns with those who label until their transaction ends: call them first in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from db.engine import INSERT_BATCH, batches
from db.labels import leases
from db.labels.queue_counts import count_anew
from db.labels.queueing import adjudication
from db.labels.queueing.infos import LONGEST_QUEUE_NAME, get_queue
from db.schema import labels
from db.statements.among import among
from models.labelling.overlaps import overlapping
from models.labelling.records import PairKey
from models.names import on_one_line

MOST_JUDGEMENTS = 20
LARGEST_GOLD_SHARE = 0.5


def rename(session: Session, queue_id: int, name: str) -> None:
    """Give a queue another name, which people see and no other queue has; its own changes nothing.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If the name is taken, empty or too long, or has control characters.
    """
    plain = " ".join(name.split())
    if not 0 < len(plain) <= LONGEST_QUEUE_NAME:
        raise ValueError(f"a queue's name has 1 to {LONGEST_QUEUE_NAME} characters, got {name[:40]!r} of {len(plain)}")
    leases.take_turn(session)
    if plain == get_queue(session, queue_id).name:
        return
    on_one_line(plain)
    taken = session.scalar(select(labels.Queue.id).filter_by(name=plain).order_by(labels.Queue.id).limit(1))
    if taken is not None:
        raise ValueError(f"queue {taken} has the name {plain!r}; take another")
    _set(session, queue_id, name=plain)


def set_closed(session: Session, queue_id: int, *, is_closed: bool) -> None:
    """Close a queue, which takes no verdicts then, or open it again. What lies before people is given back.

    Raises:
        LookupError: If there is no such queue.
    """
    _set(session, queue_id, is_closed=is_closed)
    if is_closed:
        leases.free_all(session, queue_id)


def set_options(
    session: Session,
    queue_id: int,
    *,
    has_strength: bool | None = None,
    has_comment: bool | None = None,
    has_editing: bool | None = None,
) -> None:
    """Let people say how much better a response is, why, and write a better one, or no longer; None: as it is.

    Raises:
        LookupError: If there is no such queue.
    """
    options = {"has_strength": has_strength, "has_comment": has_comment, "has_editing": has_editing}
    _set(session, queue_id, **{name: value for name, value in options.items() if value is not None})


def set_gold(session: Session, queue_id: int, *, share: float, bar: float | None, has_stop: bool) -> None:
    """Mix in gold pairs: of those that a person is shown this share; what an accuracy below the bar leads to.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If the share is not in 0 to 0.5, the bar not in 0 to 1, or a stop has no bar.
    """
    if not 0 <= share <= LARGEST_GOLD_SHARE:
        raise ValueError(f"the share of gold pairs must be 0 to {LARGEST_GOLD_SHARE}, got {share}")
    if bar is not None and not 0 <= bar <= 1:
        raise ValueError(f"the accuracy below which people are warned must be 0 to 1, got {bar}")
    if has_stop and bar is None:
        raise ValueError("nobody can be stopped without a bar; set the accuracy below which people are")
    _set(session, queue_id, gold_share=share, gold_bar=bar, has_stop=has_stop)


def set_overlap(session: Session, queue_id: int, *, judgements_per_pair: int, overlap: float) -> None:
    """Let so many people judge each pair of a share, and one each of the others; judgements that are there stay.

    The pairs are drawn by the queue's seed: a larger share holds the smaller one.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If it settles contradictions, or a number is out of range.
    """
    if not 1 <= judgements_per_pair <= MOST_JUDGEMENTS:
        raise ValueError(f"each pair takes 1 to {MOST_JUDGEMENTS} judgements, got {judgements_per_pair}")
    leases.take_turn(session)
    info = get_queue(session, queue_id)
    if info.settles is not None:
        raise ValueError(f"queue {queue_id} ({info.name}) settles contradictions: one person judges each pair")
    table = labels.QueuePair
    query = select(table.first_response_id, table.second_response_id, table.position).filter_by(queue_id=queue_id)
    positions = {PairKey(first_id, second_id): at for first_id, second_id, at in session.execute(query)}
    seed = session.scalars(select(labels.Queue.seed).filter_by(id=queue_id)).one()
    several = [positions[pair] for pair in overlapping(list(positions), overlap, seed)]
    of_queue = update(table).where(table.queue_id == queue_id)
    session.execute(of_queue.values(wanted=1))
    for batch in batches(several, INSERT_BATCH):
        session.execute(of_queue.where(among(table.position, batch)).values(wanted=judgements_per_pair))
    _set(session, queue_id, judgements_per_pair=judgements_per_pair, overlap=overlap)
    count_anew(session, queue_id)
    adjudication.feed(session, list(positions))


def set_order(session: Session, queue_ids: Sequence[int]) -> None:
    """Let people meet these queues first, in this order; all others follow, the newest first.

    Raises:
        LookupError: If there is no queue of one of the ids.
    """
    leases.take_turn(session)
    for queue_id in queue_ids:
        get_queue(session, queue_id)
    places = {queue_id: place for place, queue_id in enumerate(dict.fromkeys(queue_ids), 1)}
    table = labels.Queue
    session.execute(update(table).values(place=case(places, value=table.id, else_=None) if places else None))


def _set(session: Session, queue_id: int, **values: Any) -> None:
    leases.take_turn(session)
    get_queue(session, queue_id)
    if values:
        session.execute(update(labels.Queue).filter_by(id=queue_id).values(values))
