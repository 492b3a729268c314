"""Queues opened, found again, and told of labels from elsewhere. Sessions first, no commit."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.engine import INSERT_BATCH, batches, insert_new
from db.labels import leases
from db.labels.queue_counts import count_anew, recount
from db.labels.queueing import adjudication
from db.schema import labels
from db.schema.base import utc_now
from db.statements.among import among
from models.labelling.overlaps import overlapping
from models.labelling.queue_orders import QueueOrder, in_order
from models.labelling.records import PairKey
from models.records import content_key


def open_queue(
    session: Session,
    *,
    name: str,
    pairs: Iterable[PairKey],
    judgements_per_pair: int,
    seed: int,
    overlap: float = 1.0,
    order: QueueOrder = "shuffled",
    probabilities: Mapping[PairKey, float] = MappingProxyType({}),
) -> int:
    """Store a queue of the distinct pairs in an order drawn from the seed; return its id.

    A queue that holds the same pairs for as many people is there already and keeps its name and order. Either way
    people's judgements that are stored already count: nobody is asked for them again.

    Args:
        session: in a transaction.
        name: of the queue, which people see.
        pairs: what it holds.
        judgements_per_pair: so many different people judge each pair.
        seed: of the shuffle, and of the overlap.
        overlap: they do so for this share of the pairs (above 0 and up to 1); one person judges each of the others.
        order: what comes first; pairs alike in that stay as they were shuffled.
        probabilities: what `order` goes by: see `in_order`.

    Raises:
        ValueError: If there is no pair, a pair is out of order, or fewer than one judgement a pair is wanted.
    """
    ordered = sorted(set(pairs))
    if not ordered or judgements_per_pair < 1:
        raise ValueError(
            "a queue needs at least 1 pair and 1 judgement per pair, "
            f"got {len(ordered)} pairs and judgements_per_pair = {judgements_per_pair}; select pairs first"
        )
    for pair in ordered:
        if pair[0] >= pair[1]:
            raise ValueError(f"a pair's first response id must be the lower one, got {tuple(pair)}")
    several = overlapping(ordered, overlap, seed)
    key = _queue_key(ordered, judgements_per_pair, overlap)
    row = {"key": key, "name": name, "judgements_per_pair": judgements_per_pair, "overlap": overlap, "seed": seed}
    counts = {"pair_count": len(ordered), "done_count": 0}
    is_new = insert_new(session, labels.Queue, [{**row, **counts, "created_at": utc_now()}])
    queue_id = session.scalars(select(labels.Queue.id).filter_by(key=key)).one()
    if is_new:
        random.Random(seed).shuffle(ordered)
        wanted = dict.fromkeys(several, judgements_per_pair)
        _add_pairs(session, queue_id, in_order(ordered, order, probabilities), wanted)
    leases.take_turn(session)  # after the long part, and before counting what others may be about to add
    recount(session, labels.QueuePair.queue_id == queue_id)
    if is_new:
        count_anew(session, queue_id)
    return queue_id


def find_queue(
    session: Session, pairs: Iterable[PairKey], judgements_per_pair: int, *, overlap: float = 1.0
) -> int | None:
    """The id of the queue that was opened for just these pairs and as many people; None if there is none."""
    key = _queue_key(sorted(set(pairs)), judgements_per_pair, overlap)
    return session.scalar(select(labels.Queue.id).filter_by(key=key))


def labels_came(session: Session, pairs: Sequence[PairKey]) -> None:
    """Count people's judgements on these pairs that came another way than through a queue: from a file, say.

    Call it when the pairs' preferences are up to date.
    """
    table = labels.QueuePair
    for batch in batches(sorted({pair.first_response_id for pair in pairs}), INSERT_BATCH):
        of_queues = table.queue_id.in_(select(labels.Queue.id))  # makes the index by queue and pair usable
        recount(session, of_queues & among(table.first_response_id, batch))
    adjudication.feed(session, pairs)


def _queue_key(ordered: Sequence[PairKey], judgements_per_pair: int, overlap: float) -> str:
    # Of all pairs, as before there was an overlap.
    return content_key(ordered, judgements_per_pair, *([] if overlap == 1 else [overlap]))


def _add_pairs(session: Session, queue_id: int, ordered: list[PairKey], wanted: Mapping[PairKey, int]) -> None:
    # Positions begin at 1: a cursor at 0 has passed nothing.
    rows = (
        {
            "queue_id": queue_id,
            "position": at,
            "first_response_id": pair.first_response_id,
            "second_response_id": pair.second_response_id,
            "wanted": wanted.get(pair, 1),
        }
        for at, pair in enumerate(ordered, 1)
    )
    for batch in batches(rows, INSERT_BATCH):
        session.connection().execute(insert(labels.QueuePair), batch)
