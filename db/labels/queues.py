"""Queues of pairs that people label, one pair at a time each. Sessions first, records in and out, no commit.

A pair is given on a lease to one person at a time and is done when enough different people have judged it. Functions
that change a queue take turns until their transaction ends: call them first in it, and keep it short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.labels import leases
from db.labels.judgements import add_judgements, remove_judgement
from db.labels.preferences import recompute
from db.labels.queue_counts import recount
from db.labels.queueing import adjudication, gold
from db.labels.queueing.admission import require_admitted
from db.labels.queueing.infos import QueueInfo, get_queue, list_queues, opened_at, queues_for
from db.labels.queueing.opening import find_queue, labels_came, open_queue
from db.labels.queueing.settings import rename
from db.prompts import prompt_from_json
from db.schema import curation, labels
from models.labelling import as_judgement
from models.labelling.records import Opinion, PairKey, ShownVerdict
from models.records import Prompt

__all__ = [
    "PERSON_VERDICTS",
    "QueueInfo",
    "QueueProgress",
    "QueuedPair",
    "find_queue",
    "get_queue",
    "labels_came",
    "leave",
    "list_queues",
    "open_queue",
    "opened_at",
    "queue_progress",
    "queues_for",
    "record_verdict",
    "rename",
    "take_next",
    "undo_last",
]

PERSON_VERDICTS: tuple[ShownVerdict, ...] = tuple(v for v in get_args(ShownVerdict) if v != "unparsed")
RECENT = 20


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

    `wanted_count`: the judgements that the queue waits for in all, `judged_count`: how many of them there are; where
    gold pairs are mixed in, those that the annotator is likely to meet and has answered count like the others, so that
    nothing here tells them apart. `own_count`: their judgements in this queue without the skips; `recent_seconds`: the
    time each of their last 20 judgements took, skips too, newest first, those without a time left out.
    """

    pair_count: int
    done_count: int
    wanted_count: int
    judged_count: int
    own_count: int
    own_skips: int
    recent_seconds: tuple[float, ...]


def take_next(
    session: Session, queue_id: int, annotator_id: int, *, now: datetime, lease_s: float
) -> QueuedPair | None:
    """Give an annotator the pair they hold, or lease them the next for `lease_s` seconds; None if nothing is left.

    They meet the open pairs by position, from the start again once they are through: what others held then may be
    free now. A pair that they have judged or skipped, in this queue or elsewhere, is never given again; one whose
    lease has expired may be taken over. As long as there is such a pair, a gold one may come before it.

    Raises:
        LookupError: If there is no such queue.
        PermissionError: If it settles contradictions and the annotator is not named for it.
        ValueError: If it is closed, or the annotator is stopped.
    """
    leases.take_turn(session)
    info = require_admitted(session, queue_id, annotator_id)
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
    gold_pair = gold.next_gold(session, info, annotator_id)
    if gold_pair is None:
        leases.set_cursor(session, queue_id, annotator_id, position)
    else:
        pair = gold_pair
    key = session.scalars(select(labels.Queue.key).filter_by(id=queue_id)).one()
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
    strength: float | None = None,
    comment: str | None = None,
    guidelines_version: int | None = None,
) -> bool:
    """Store a person's verdict on the pair that lies before them, and end their lease even if it has expired.

    Every queue that holds the pair counts it; `seconds` is at most the time since they were given the pair. What they
    say of a gold pair is stored apart from judgements. Returns False if they have judged or skipped the pair already (a
    double click, another queue): their first verdict stays.

    Args:
        session: in a transaction.
        queue_id: the queue.
        annotator_id: the person.
        showing: the pair as it lay before them.
        verdict: what they say of it.
        seconds: how long they looked at it.
        now: the time.
        strength: how much better the better one is, above 0 and up to 1; where the queue asks for it.
        comment: why, in their words; where the queue asks for it.
        guidelines_version: of the guidelines that lay beside the pair.

    Raises:
        LookupError: If there is no such queue, or the pair is not in it.
        PermissionError: If it settles contradictions and the person is not named for it.
        ValueError: If no person can give this verdict, the queue is closed, or they are stopped, or it does not ask for
            what was given, or the pair does not lie before them with these sides since that time: it never did, was
            given to somebody else, or was taken back and shown anew.
    """
    if verdict not in PERSON_VERDICTS:
        raise ValueError(f"a person's verdict must be one of {', '.join(PERSON_VERDICTS)}, got {verdict!r}")
    leases.take_turn(session)
    info = require_admitted(session, queue_id, annotator_id)
    _require_asked(info, verdict, strength=strength, comment=comment)
    is_gold = gold.is_gold(session, queue_id, showing.pair)
    if not is_gold and _find_position(session, queue_id, showing.pair) is None:
        pair = tuple(showing.pair)
        raise LookupError(f"pair {pair} is not in queue {queue_id} ({info.name}); ask for the next pair")
    held_lease = leases.held_by(session, queue_id, annotator_id)
    is_judged = leases.has_judged(session, annotator_id, showing.pair)
    if not is_judged and held_lease != showing:
        raise ValueError("the verdict is not on this pair as it lies before you now; look at it again")
    leases.free(session, annotator_id, showing.pair)
    if is_judged:
        return False
    if seconds is not None:
        seconds = min(seconds, max((now - showing.shown_at).total_seconds(), 0.0))
    opinion = Opinion(verdict, rationale=comment or None, strength=strength)
    judgement = as_judgement(showing.pair, showing.left_response_id, opinion, seconds=seconds)
    if is_gold:
        gold.answer(session, queue_id, annotator_id, judgement, guidelines_version=guidelines_version)
        return True
    add_judgements(session, annotator_id, [judgement], queue_id=queue_id, guidelines_version=guidelines_version)
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
        PermissionError: If it settles contradictions and the annotator is not named for it.
        ValueError: If the queue is closed, or they are stopped, or it was a skip and others have judged or hold the
            pair as often as it is wanted.
    """
    leases.take_turn(session)
    require_admitted(session, queue_id, annotator_id)
    judged = leases.newest_judgement(session, queue_id, annotator_id)
    answered = gold.newest_answer(session, queue_id, annotator_id)
    utc = now.astimezone(UTC)
    if answered is not None and (judged is None or answered.judged_at > judged.judged_at):
        judged = answered
        gold.remove_answer(session, annotator_id, answered.pair)
    elif judged is None:
        return None
    elif judged.is_skip and not leases.has_room(session, queue_id, annotator_id, judged.pair, now=utc):
        raise ValueError("the pair that you skipped has gone to somebody else; your skip stays")
    else:
        _pair_changed(session, remove_judgement(session, judged.id))
    _give_back(session, queue_id, annotator_id)
    lease = leases.Lease(judged.pair, judged.left_response_id, utc)
    leases.grant(session, queue_id, annotator_id, lease, expires_at=leases.until(now, lease_s))
    return _queued_pair(session, queue_id, lease)


def leave(session: Session, queue_id: int, annotator_id: int) -> None:
    """Give back what lies before an annotator in a queue, at once: others may have it, and to them it comes next.

    Raises:
        LookupError: If there is no such queue.
    """
    leases.take_turn(session)
    get_queue(session, queue_id)
    _give_back(session, queue_id, annotator_id)


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
    recent = select(table.created_at, table.seconds).filter_by(**in_queue).order_by(table.id.desc()).limit(RECENT)
    timed = [(as_utc(at), duration) for at, duration in session.execute(recent)]
    mixed = gold.answers_of(session, queue_id, annotator_id, recent=RECENT)
    if mixed.seconds:
        timed = sorted(chain(timed, mixed.seconds), key=lambda one: one[0], reverse=True)[:RECENT]
    expected = max(mixed.judged, gold.expected_count(session, queue))
    return QueueProgress(
        pair_count=queue.pair_count,
        done_count=queue.done_count,
        wanted_count=queue.wanted_count + expected,
        judged_count=queue.judged_count + mixed.judged,
        own_count=count - skips + mixed.judged,
        own_skips=skips + mixed.skipped,
        recent_seconds=tuple(duration for _, duration in timed if duration is not None),
    )


def _require_asked(info: QueueInfo, verdict: ShownVerdict, *, strength: float | None, comment: str | None) -> None:
    if strength is not None and not (info.has_strength and verdict in ("left", "right") and 0 < strength <= 1):
        raise ValueError(f"queue {info.id} takes no strength {strength} with the verdict {verdict}; reload the page")
    if comment and not info.has_comment:
        raise ValueError(f"queue {info.id} takes no comments; reload the page")


def _give_back(session: Session, queue_id: int, annotator_id: int) -> None:
    """End what an annotator holds in a queue, and let it come next; a gold pair comes by its own rule."""
    held_lease = leases.held_by(session, queue_id, annotator_id)
    if held_lease is None:
        return
    leases.free(session, annotator_id, held_lease.pair)
    position = _find_position(session, queue_id, held_lease.pair)
    if position is not None and not gold.is_gold(session, queue_id, held_lease.pair):
        leases.set_cursor(session, queue_id, annotator_id, position - 1)


def _find_position(session: Session, queue_id: int, pair: PairKey) -> int | None:
    table = labels.QueuePair
    return session.scalar(select(table.position).where(table.queue_id == queue_id, leases.of_pair(table, pair)))


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
    adjudication.feed(session, [pair])
