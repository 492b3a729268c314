"""Leases: which pair of a queue lies before whom, and which side it shows. Sessions first, no commit.

A verdict counts only on what lies before its annotator: without a lease there is nothing to judge.

Whoever gives out, judges or takes back a pair takes a turn first, so that nothing here is ever decided on what another
transaction is about to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, insert, select, update
from sqlalchemy.orm import Session

from db import engine
from db.schema import labels, teams
from models.labelling.records import PairKey
from models.records import content_key


@dataclass(frozen=True, slots=True)
class Lease:
    """A pair as it lies before the annotator who holds it; `shown_at` has its time zone."""

    pair: PairKey
    left_response_id: int
    shown_at: datetime


@dataclass(frozen=True, slots=True)
class OwnJudgement:
    """An annotator's judgement in a queue, as undoing it needs to know it."""

    id: int
    pair: PairKey
    left_response_id: int
    is_skip: bool
    judged_at: datetime


def take_turn(session: Session) -> None:
    """Wait until no other transaction works on queues, and let none begin before this one ends.

    Call it before anything else is written: SQLite lets a transaction that has only read fail when it comes to write,
    PostgreSQL lets two that take the same locks in another order wait for each other until one fails.
    """
    engine.take_turn(session, labels.Lease.__tablename__)


def held_by(session: Session, queue_id: int, annotator_id: int) -> Lease | None:
    """The pair that an annotator holds in a queue, expired or not, as long as nobody took it over."""
    table = labels.Lease
    columns = (table.first_response_id, table.second_response_id, table.left_response_id, table.shown_at)
    row = session.execute(select(*columns).filter_by(queue_id=queue_id, annotator_id=annotator_id)).one_or_none()
    if row is None:
        return None
    first_id, second_id, left_id, shown_at = row
    return Lease(PairKey(first_id, second_id), left_id, engine.as_utc(shown_at))


def grant(session: Session, queue_id: int, annotator_id: int, lease: Lease, *, expires_at: datetime) -> None:
    """Lease a pair to an annotator from `lease.shown_at` on; they must hold no other of the queue.

    Leases of the pair that have expired by then end, those of before the clock was set back, and the annotator's own in
    other queues.
    """
    table = labels.Lease
    is_over = (table.annotator_id == annotator_id) | (table.expires_at <= lease.shown_at)
    is_over |= table.expires_at > _longest(expires_at)
    session.execute(delete(table).where(of_pair(table, lease.pair), is_over))
    first_id, second_id = lease.pair
    session.execute(
        insert(table).values(
            first_response_id=first_id,
            second_response_id=second_id,
            queue_id=queue_id,
            annotator_id=annotator_id,
            left_response_id=lease.left_response_id,
            shown_at=lease.shown_at,
            expires_at=expires_at,
        )
    )


def renew(session: Session, queue_id: int, annotator_id: int, *, expires_at: datetime) -> None:
    """Let the annotator's lease in a queue last until then."""
    of_annotator = update(labels.Lease).filter_by(queue_id=queue_id, annotator_id=annotator_id)
    session.execute(of_annotator.values(expires_at=expires_at))


def free(session: Session, annotator_id: int, pair: PairKey) -> None:
    """End the annotator's leases of a pair, if there are any."""
    session.execute(delete(labels.Lease).where(of_pair(labels.Lease, pair)).filter_by(annotator_id=annotator_id))


def free_all(session: Session, queue_id: int) -> None:
    """End all leases of a queue."""
    session.execute(delete(labels.Lease).filter_by(queue_id=queue_id))


def next_free(
    session: Session, queue_id: int, annotator_id: int, *, after: int, now: datetime, lease_s: float
) -> tuple[int, PairKey] | None:
    """The first open pair beyond a position that the annotator has not judged and no one else holds; its position.

    A lease that lasts longer than one given now can was given before the clock was set back: it holds nothing.
    """
    table, longest = labels.QueuePair, _longest(until(now, lease_s))
    holders = _held_by_others(annotator_id, table.first_response_id, table.second_response_id, now)
    is_held = holders.where(labels.Lease.expires_at <= longest).exists()
    query = (
        select(table.position, table.first_response_id, table.second_response_id)
        .where(table.queue_id == queue_id, table.position > after, ~table.is_done)
        .where(is_unjudged(annotator_id, table.first_response_id, table.second_response_id), ~is_held)
        .order_by(table.position)
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], PairKey(row[1], row[2]))


def has_room(session: Session, queue_id: int, annotator_id: int, pair: PairKey, *, now: datetime) -> bool:
    """Whether a pair of a queue waits for one more verdict than it has and those that others may be about to give."""
    table = labels.QueuePair
    query = select(table.wanted - table.judgement_count).where(table.queue_id == queue_id, of_pair(table, pair))
    holders = session.execute(_held_by_others(annotator_id, *pair, now)).all()
    return int(session.scalars(query).one()) > len(holders)


def is_unjudged(annotator_id: int, first: Any, second: Any) -> ColumnElement[bool]:
    """The condition that an annotator has neither judged nor skipped the pair of these columns, wherever it was."""
    return and_(*(~query.exists() for query in _said_of(annotator_id, first, second)))


def has_judged(session: Session, annotator_id: int, pair: PairKey) -> bool:
    """Whether an annotator has judged or skipped a pair, in whatever queue, as a gold pair or by an import."""
    return any(session.execute(query.limit(1)).first() is not None for query in _said_of(annotator_id, *pair))


def newest_judgement(session: Session, queue_id: int, annotator_id: int) -> OwnJudgement | None:
    """The judgement that an annotator gave last in a queue, a skip too; gold answers are none."""
    table = labels.Judgement
    query = (
        select(table.id, table.first_response_id, table.second_response_id, table.left_response_id, table.verdict,
               table.created_at)
        .filter_by(annotator_id=annotator_id, queue_id=queue_id)
        .order_by(table.id.desc())
        .limit(1)
    )  # fmt: skip
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    return OwnJudgement(row[0], PairKey(row[1], row[2]), row[3], row[4] == "skip", engine.as_utc(row[5]))


def cursor(session: Session, queue_id: int, annotator_id: int) -> int:
    """The position up to which an annotator has come in a queue; 0 before the first pair."""
    query = select(labels.QueueMember.position).filter_by(queue_id=queue_id, annotator_id=annotator_id)
    return session.scalar(query) or 0


def set_cursor(session: Session, queue_id: int, annotator_id: int, position: int) -> None:
    """Remember how far an annotator has come in a queue."""
    table = labels.QueueMember
    moved = update(table).filter_by(queue_id=queue_id, annotator_id=annotator_id).values(position=position)
    if session.connection().execute(moved).rowcount == 0:
        session.execute(insert(table).values(queue_id=queue_id, annotator_id=annotator_id, position=position))


def left_side(queue_key: str, pair: PairKey, annotator_id: int) -> int:
    """The response an annotator sees on the left: a coin that falls the same way whenever it is thrown."""
    return pair[int(content_key("left side", queue_key, pair, annotator_id), 16) % 2]


def until(now: datetime, lease_s: float) -> datetime:
    """When a lease given now expires, in UTC, the one time zone that is stored."""
    return now.astimezone(UTC) + timedelta(seconds=lease_s)


def _longest(expires_at: datetime) -> datetime:
    """When a lease given now expires at the latest: others may have read their clock while we waited our turn."""
    return expires_at + timedelta(seconds=engine.LOCK_TIMEOUT_S)


def of_pair(
    table: type[labels.Lease | labels.QueuePair | labels.Judgement | teams.GoldPair | teams.GoldAnswer], pair: PairKey
) -> ColumnElement[bool]:
    """The condition that a row is about this pair."""
    return (table.first_response_id == pair.first_response_id) & (table.second_response_id == pair.second_response_id)


def _held_by_others(annotator_id: int, first: Any, second: Any, now: datetime) -> Select[tuple[int]]:
    table = labels.Lease
    return select(table.annotator_id).where(
        table.first_response_id == first,
        table.second_response_id == second,
        table.annotator_id != annotator_id,
        table.expires_at > now,
    )


def _said_of(annotator_id: int, first: Any, second: Any) -> list[Select[tuple[str]]]:
    return [
        select(table.verdict).where(
            table.first_response_id == first, table.second_response_id == second, table.annotator_id == annotator_id
        )
        for table in (labels.Judgement, teams.GoldAnswer)
    ]
