"""Queues of pairs that people label, one pair at a time each. Sessions first, records in and out, no commit.

A pair is given on a lease to one person at a time and is done when enough different people have judged it. Functions
that change a queue take turns until their transaction ends: call them first in it, and keep it short.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import get_args

from sqlalchemy import Select, func, insert, select
from sqlalchemy.orm import Session

from db.engine import INSERT_BATCH, as_utc, batches, insert_new
from db.labels import leases
from db.labels.judgements import add_judgements, remove_judgement
from db.labels.preferences import recompute
from db.labels.queue_counts import recount
from db.prompts import prompt_from_json
from db.schema import curation, labels
from db.schema.base import utc_now
from models.labelling import as_judgement
from models.labelling.queue_orders import QueueOrder, in_order
from models.labelling.records import Opinion, PairKey, ShownVerdict
from models.records import Prompt, content_key

PERSON_VERDICTS: tuple[ShownVerdict, ...] = tuple(v for v in get_args(ShownVerdict) if v != "unparsed")
RECENT = 20


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue and how far it has come: `done_count` of `pair_count` pairs are judged by enough people."""

    id: int
    name: str
    judgements_per_pair: int
    pair_count: int
    done_count: int


@dataclass(frozen=True, slots=True)
class QueuedPair:
    """A pair as one person is to see it. `shown_at`: when they were first given it (UTC)."""

    queue_id: int
    pair: PairKey
    left_response_id: int
    prompt: Prompt
    left: str
    right: str
    shown_at: datetime
    left_thought: str | None = None
    right_thought: str | None = None


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """How far a queue has come, and one annotator in it.

    `own_count`: their judgements in this queue without the skips; `recent_seconds`: the time each of their last 20
    judgements took, skips too, newest first, those without a time left out.
    """

    pair_count: int
    done_count: int
    own_count: int
    own_skips: int
    recent_seconds: tuple[float, ...]


def open_queue(
    session: Session,
    *,
    name: str,
    pairs: Iterable[PairKey],
    judgements_per_pair: int,
    seed: int,
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
        seed: of the shuffle.
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
    key = _queue_key(ordered, judgements_per_pair)
    row = {"key": key, "name": name, "judgements_per_pair": judgements_per_pair, "pair_count": len(ordered)}
    is_new = insert_new(session, labels.Queue, [{**row, "done_count": 0, "created_at": utc_now()}])
    queue_id = session.scalars(select(labels.Queue.id).filter_by(key=key)).one()
    if is_new:
        random.Random(seed).shuffle(ordered)
        _add_pairs(session, queue_id, in_order(ordered, order, probabilities))
    leases.take_turn(session)  # after the long part, and before counting what others may be about to add
    recount(session, labels.QueuePair.queue_id == queue_id)
    return queue_id


def find_queue(session: Session, pairs: Iterable[PairKey], judgements_per_pair: int) -> int | None:
    """The id of the queue that holds just these pairs for as many people; None if there is none."""
    key = _queue_key(sorted(set(pairs)), judgements_per_pair)
    return session.scalar(select(labels.Queue.id).filter_by(key=key))


def labels_came(session: Session, pairs: Sequence[PairKey]) -> None:
    """Count people's judgements on these pairs that came another way than through a queue: from a file, say."""
    table = labels.QueuePair
    for batch in batches(sorted({pair.first_response_id for pair in pairs}), INSERT_BATCH):
        of_queues = table.queue_id.in_(select(labels.Queue.id))  # makes the index by queue and pair usable
        recount(session, of_queues & table.first_response_id.in_(batch))


def list_queues(session: Session) -> list[QueueInfo]:
    """All queues, newest first."""
    return [QueueInfo(*row) for row in session.execute(_infos().order_by(labels.Queue.id.desc()))]


def get_queue(session: Session, queue_id: int) -> QueueInfo:
    """The queue of this id.

    Raises:
        LookupError: If there is none.
    """
    row = session.execute(_infos().filter_by(id=queue_id)).one_or_none()
    if row is None:
        existing_queues = ", ".join(f"{queue.id} ({queue.name})" for queue in list_queues(session)) or "none yet"
        raise LookupError(f"there is no queue {queue_id}; there are: {existing_queues}")
    return QueueInfo(*row)


def opened_at(session: Session, queue_id: int) -> datetime:
    """When a queue was opened (UTC)."""
    return as_utc(session.scalars(select(labels.Queue.created_at).filter_by(id=queue_id)).one())


def take_next(
    session: Session, queue_id: int, annotator_id: int, *, now: datetime, lease_s: float
) -> QueuedPair | None:
    """Give an annotator the pair they hold, or lease them the next for `lease_s` seconds; None if nothing is left.

    They meet the open pairs by position, from the start again once they are through: what others held then may be
    free now. A pair that they have judged or skipped, in this queue or elsewhere, is never given again; one whose
    lease has expired may be taken over.

    Raises:
        LookupError: If there is no such queue.
    """
    leases.take_turn(session)
    key = session.scalar(select(labels.Queue.key).filter_by(id=queue_id))
    if key is None:
        get_queue(session, queue_id)  # says which there are
        return None
    held_lease = leases.held_by(session, queue_id, annotator_id)
    if held_lease is not None and not leases.has_judged(session, annotator_id, held_lease.pair):
        leases.renew(session, queue_id, annotator_id, expires_at=leases.until(now, lease_s))
        return _queued_pair(session, queue_id, held_lease)
    if held_lease is not None:
        leases.free(session, annotator_id, held_lease.pair)
    position = leases.cursor(session, queue_id, annotator_id)
    utc = now.astimezone(UTC)
    free_pair = leases.next_free(session, queue_id, annotator_id, after=position, now=utc, lease_s=lease_s)
    if free_pair is None and position > 0:
        free_pair = leases.next_free(session, queue_id, annotator_id, after=0, now=utc, lease_s=lease_s)
    if free_pair is None:
        return None
    position, pair = free_pair
    leases.set_cursor(session, queue_id, annotator_id, position)
    lease = leases.Lease(pair, leases.left_side(key, pair, annotator_id), utc)
    leases.grant(session, queue_id, annotator_id, lease, expires_at=leases.until(now, lease_s))
    return _queued_pair(session, queue_id, lease)


def record_verdict(
    session: Session,
    queue_id: int,
    annotator_id: int,
    *,
    showing: leases.Lease,
    verdict: ShownVerdict,
    seconds: float | None,
    now: datetime,
) -> bool:
    """Store a person's verdict on the pair that lies before them, and end their lease even if it has expired.

    Every queue that holds the pair counts it; `seconds` is at most the time since they were given the pair. Returns
    False if they have judged or skipped it already (a double click, another queue): their first verdict stays.

    Raises:
        LookupError: If there is no such queue, or the pair is not in it.
        ValueError: If no person can give this verdict, or the pair does not lie before them with these sides since
            that time: it never did, was given to somebody else, or was taken back and shown anew.
    """
    if verdict not in PERSON_VERDICTS:
        raise ValueError(f"a person's verdict must be one of {', '.join(PERSON_VERDICTS)}, got {verdict!r}")
    leases.take_turn(session)
    _position(session, queue_id, showing.pair)
    held_lease = leases.held_by(session, queue_id, annotator_id)
    is_judged = leases.has_judged(session, annotator_id, showing.pair)
    if not is_judged and held_lease != showing:
        raise ValueError("the verdict is not on this pair as it lies before you now; look at it again")
    leases.free(session, annotator_id, showing.pair)
    if is_judged:
        return False
    if seconds is not None:
        seconds = min(seconds, max((now - showing.shown_at).total_seconds(), 0.0))
    judgement = as_judgement(showing.pair, showing.left_response_id, Opinion(verdict), seconds=seconds)
    add_judgements(session, annotator_id, [judgement], queue_id=queue_id)
    _pair_changed(session, showing.pair)
    return True


def undo_last(
    session: Session, queue_id: int, annotator_id: int, *, now: datetime, lease_s: float
) -> QueuedPair | None:
    """Take back the annotator's newest judgement in this queue and lease them its pair as they saw it.

    The pair they hold is freed and comes next. Someone else who holds the pair taken back goes on holding it: it was
    given to them beside the judgement, so there is room for both. None if there is nothing to undo.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If it was a skip and others have judged or hold the pair as often as it is wanted.
    """
    leases.take_turn(session)
    get_queue(session, queue_id)
    judged = leases.newest_judgement(session, queue_id, annotator_id)
    if judged is None:
        return None
    utc = now.astimezone(UTC)
    if judged.is_skip and not leases.has_room(session, queue_id, annotator_id, judged.pair, now=utc):
        raise ValueError("the pair that you skipped has gone to somebody else; your skip stays")
    pair = remove_judgement(session, judged.id)
    _pair_changed(session, pair)
    held_lease = leases.held_by(session, queue_id, annotator_id)
    if held_lease is not None:
        leases.free(session, annotator_id, held_lease.pair)
        leases.set_cursor(session, queue_id, annotator_id, _position(session, queue_id, held_lease.pair) - 1)
    lease = leases.Lease(pair, judged.left_response_id, utc)
    leases.grant(session, queue_id, annotator_id, lease, expires_at=leases.until(now, lease_s))
    return _queued_pair(session, queue_id, lease)


def queue_progress(session: Session, queue_id: int, annotator_id: int) -> QueueProgress:
    """How far a queue has come, and what the annotator did in it.

    Raises:
        LookupError: If there is no such queue.
    """
    queue, table = get_queue(session, queue_id), labels.Judgement
    in_queue = {"annotator_id": annotator_id, "queue_id": queue_id}
    counted = (
        select(func.count(), func.count().filter(table.verdict == "skip")).select_from(table).filter_by(**in_queue)
    )
    count, skips = session.execute(counted).one()
    recent = session.scalars(select(table.seconds).filter_by(**in_queue).order_by(table.id.desc()).limit(RECENT))
    seconds = tuple(duration for duration in recent if duration is not None)
    return QueueProgress(queue.pair_count, queue.done_count, count - skips, skips, seconds)


def _queue_key(ordered: Sequence[PairKey], judgements_per_pair: int) -> str:
    return content_key(ordered, judgements_per_pair)


def _infos() -> Select[tuple[int, str, int, int, int]]:
    table = labels.Queue
    return select(table.id, table.name, table.judgements_per_pair, table.pair_count, table.done_count)


def _add_pairs(session: Session, queue_id: int, ordered: list[PairKey]) -> None:
    # Positions begin at 1: a cursor at 0 has passed nothing.
    rows = (
        {"queue_id": queue_id, "position": at, "first_response_id": first_id, "second_response_id": second_id}
        for at, (first_id, second_id) in enumerate(ordered, 1)
    )
    for batch in batches(rows, INSERT_BATCH):
        session.connection().execute(insert(labels.QueuePair), batch)


def _position(session: Session, queue_id: int, pair: PairKey) -> int:
    table = labels.QueuePair
    position = session.scalar(select(table.position).where(table.queue_id == queue_id, leases.of_pair(table, pair)))
    if position is None:
        name = get_queue(session, queue_id).name
        raise LookupError(f"pair {tuple(pair)} is not in queue {queue_id} ({name}); ask for the next pair")
    return position


def _queued_pair(session: Session, queue_id: int, lease: leases.Lease) -> QueuedPair:
    query = (
        select(curation.Response.text, curation.Response.thought, curation.Prompt.messages)
        .join(curation.Prompt, curation.Prompt.id == curation.Response.prompt_id)
        .where(curation.Response.id.in_(lease.pair))
        .order_by(curation.Response.id != lease.left_response_id)
    )
    (left, left_thought, messages), (right, right_thought, _) = session.execute(query).all()
    return QueuedPair(
        queue_id,
        lease.pair,
        lease.left_response_id,
        prompt_from_json(messages),
        left,
        right,
        lease.shown_at,
        left_thought,
        right_thought,
    )


def _pair_changed(session: Session, pair: PairKey) -> None:
    # With the queues named, the index on (queue_id, first, second) finds the pair in each of them.
    table = labels.QueuePair
    recount(session, table.queue_id.in_(select(labels.Queue.id)) & leases.of_pair(table, pair))
    recompute(session, [pair])
