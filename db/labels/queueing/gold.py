"""Pairs whose answer is known, shown among a queue's pairs, and what people said of them. Sessions first, no commit.

Which of the pairs that a person is shown are gold is drawn by queue, person and how many they have judged: they cannot
foresee it, and taking a verdict back and giving it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.labels import leases
from db.labels.judgements import rows_about
from db.labels.preferences import votes
from db.labels.queueing.infos import QueueInfo, get_queue
from db.schema import labels, teams
from db.schema.base import utc_now
from db.statements.among import among
from models.labelling.records import Judgement, PairKey
from models.labelling.votes import Vote
from models.quality.gold import GoldCount
from models.records import content_key

_COIN = 16**12


@dataclass(frozen=True, slots=True)
class GoldAnswers:
    """What a person did with a queue's gold pairs. `seconds`: when (UTC) and how long each took, newest first."""

    judged: int
    skipped: int
    seconds: tuple[tuple[datetime, float | None], ...]


def set_pairs(session: Session, queue_id: int, verdicts: Mapping[PairKey, Vote]) -> int:
    """Let these be the queue's gold pairs, with their answers; return how many there are. Answers given stay.

    A pair that the queue still waits for is left out: nobody would be asked for the judgement that it lacks. Who holds
    a pair that is now neither gold nor the queue's own holds it no longer.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If it settles contradictions: a pair without earlier votes would be known by that.
    """
    leases.take_turn(session)
    info = get_queue(session, queue_id)
    if info.settles is not None and verdicts:
        raise ValueError(f"queue {queue_id} ({info.name}) settles contradictions: known answers are for other queues")
    session.execute(delete(teams.GoldPair).filter_by(queue_id=queue_id))
    table = labels.QueuePair
    is_waiting = (table.queue_id == queue_id) & ~table.is_done
    known = verdicts.keys() - {pair for (pair,) in rows_about(session, table, list(verdicts), where=is_waiting)}
    rows = [
        {"queue_id": queue_id, "first_response_id": pair[0], "second_response_id": pair[1], "verdict": verdicts[pair]}
        for pair in sorted(known)
    ]
    if rows:
        session.execute(insert(teams.GoldPair), rows)
    held = labels.Lease
    has_place = (_is_there(held, table) for table in (teams.GoldPair, labels.QueuePair))
    session.execute(delete(held).where(held.queue_id == queue_id, ~or_(*has_place)))
    return len(rows)


def answers_known_to(session: Session, annotator_ids: Collection[int]) -> dict[PairKey, Vote]:
    """What these annotators say of every pair that they have judged; pairs on which they contradict are left out."""
    table = labels.Judgement
    judged = select(table.first_response_id, table.second_response_id).where(among(table.annotator_id, annotator_ids))
    pairs = [PairKey(*pair) for pair in session.execute(judged.distinct())]
    said = {
        pair: set(by_annotator.values()) for pair, by_annotator in votes(session, pairs, of=list(annotator_ids)).items()
    }
    return {pair: next(iter(verdicts)) for pair, verdicts in said.items() if len(verdicts) == 1}


def pair_count(session: Session, queue_id: int) -> int:
    """How many gold pairs a queue has."""
    return session.scalar(select(func.count()).select_from(teams.GoldPair).filter_by(queue_id=queue_id)) or 0


def expected_count(session: Session, queue: QueueInfo) -> int:
    """How many gold pairs lie among as many others as the queue wants judgements; at most those it has."""
    if queue.gold_share == 0:
        return 0
    return min(pair_count(session, queue.id), round(queue.wanted_count * queue.gold_share / (1 - queue.gold_share)))


def is_gold(session: Session, queue_id: int, pair: PairKey) -> bool:
    """Whether a pair is shown as a gold one: the queue knows its answer, and does not wait for it."""
    table, place = teams.GoldPair, labels.QueuePair
    is_known = select(table.verdict).where(table.queue_id == queue_id, leases.of_pair(table, pair))
    is_wanted = select(place.position).where(place.queue_id == queue_id, ~place.is_done, leases.of_pair(place, pair))
    return session.execute(is_known).first() is not None and session.execute(is_wanted).first() is None


def next_gold(session: Session, queue: QueueInfo, annotator_id: int) -> PairKey | None:
    """The gold pair that a person is to be shown now; None where it is not the turn of one, or they know all."""
    if queue.gold_share == 0:
        return None
    shown = _shown_count(session, queue.id, annotator_id)
    if int(content_key("gold", queue.id, annotator_id, shown)[:12], 16) >= queue.gold_share * _COIN:
        return None
    table, place = teams.GoldPair, labels.QueuePair
    query = select(table.first_response_id, table.second_response_id).where(
        table.queue_id == queue.id,
        ~_is_there(table, place, ~place.is_done),
        leases.is_unjudged(annotator_id, table.first_response_id, table.second_response_id),
    )
    pairs = (PairKey(*pair) for pair in session.execute(query))
    return min(pairs, key=lambda pair: content_key("gold", annotator_id, pair), default=None)


def answer(
    session: Session, queue_id: int, annotator_id: int, judgement: Judgement, *, guidelines_version: int | None
) -> None:
    """Store what a person says of a gold pair."""
    first_id, second_id = judgement.pair
    session.execute(
        insert(teams.GoldAnswer).values(
            queue_id=queue_id,
            annotator_id=annotator_id,
            first_response_id=first_id,
            second_response_id=second_id,
            left_response_id=judgement.left_response_id,
            verdict=judgement.verdict,
            seconds=judgement.seconds,
            guidelines_version=guidelines_version,
            created_at=utc_now(),
        )
    )


def answer_to(session: Session, annotator_id: int, pair: PairKey) -> str | None:
    """What a person said of a pair that was shown as a gold one; None where it was not."""
    table = teams.GoldAnswer
    return session.scalar(select(table.verdict).where(table.annotator_id == annotator_id, leases.of_pair(table, pair)))


def newest_answer(session: Session, queue_id: int, annotator_id: int) -> leases.OwnJudgement | None:
    """The answer that a person gave last to a pair that is still a gold one of a queue; its id is 0."""
    table = teams.GoldAnswer
    query = select(table).where(_is_there(table, teams.GoldPair)).order_by(table.created_at.desc()).limit(1)
    row = session.scalars(query.filter_by(queue_id=queue_id, annotator_id=annotator_id)).first()
    if row is None:
        return None
    pair = PairKey(row.first_response_id, row.second_response_id)
    return leases.OwnJudgement(0, pair, row.left_response_id, row.verdict == "skip", as_utc(row.created_at))


def remove_answer(session: Session, annotator_id: int, pair: PairKey) -> None:
    """Take a person's answer to a gold pair back."""
    table = teams.GoldAnswer
    session.execute(delete(table).where(table.annotator_id == annotator_id, leases.of_pair(table, pair)))


def answers_of(session: Session, queue_id: int, annotator_id: int, *, recent: int) -> GoldAnswers:
    """How many gold pairs a person has judged and skipped in a queue, and the times of the `recent` last ones."""
    table = teams.GoldAnswer
    of_person = {"queue_id": queue_id, "annotator_id": annotator_id}
    counted = select(func.count(), func.count().filter(table.verdict == "skip")).select_from(table)
    count, skips = session.execute(counted.filter_by(**of_person)).one()
    timed = select(table.created_at, table.seconds).filter_by(**of_person).order_by(table.created_at.desc())
    seconds = tuple((as_utc(at), took) for at, took in session.execute(timed.limit(recent)))
    return GoldAnswers(count - skips, skips, seconds)


def counts(session: Session, queue_id: int, *, of: int | None = None) -> dict[int, GoldCount]:
    """How many of a queue's gold pairs each person (or the one named) has answered, and how many as they are known.

    Skips are left out, and who has answered none.
    """
    known, said = teams.GoldPair, teams.GoldAnswer
    query = (
        select(said.annotator_id, func.count(), func.count().filter(said.verdict == known.verdict))
        .join(
            known,
            (known.queue_id == said.queue_id)
            & (known.first_response_id == said.first_response_id)
            & (known.second_response_id == said.second_response_id),
        )
        .where(said.queue_id == queue_id, said.verdict != "skip")
        .group_by(said.annotator_id)
        .order_by(said.annotator_id)
    )
    if of is not None:
        query = query.where(said.annotator_id == of)
    return {annotator_id: GoldCount(count, right) for annotator_id, count, right in session.execute(query)}


def last_times(session: Session, queue_id: int) -> dict[int, datetime]:
    """When each person last answered a gold pair of a queue (UTC)."""
    table = teams.GoldAnswer
    query = select(table.annotator_id, func.max(table.created_at)).filter_by(queue_id=queue_id)
    return {id_: as_utc(at) for id_, at in session.execute(query.group_by(table.annotator_id))}


def readmit(session: Session, queue_id: int, annotator_id: int) -> None:
    """Let a person begin anew with a queue's gold pairs: what they said of them is gone.

    Raises:
        LookupError: If there is no such queue.
    """
    leases.take_turn(session)
    get_queue(session, queue_id)
    session.execute(delete(teams.GoldAnswer).filter_by(queue_id=queue_id, annotator_id=annotator_id))


def _is_there(
    row: type[labels.Lease | teams.GoldPair | teams.GoldAnswer],
    table: type[labels.QueuePair | teams.GoldPair],
    *where: ColumnElement[bool],
) -> ColumnElement[bool]:
    """The condition that a table has the queue and pair that a row is about, and there holds what is asked."""
    return exists().where(
        table.queue_id == row.queue_id,
        table.first_response_id == row.first_response_id,
        table.second_response_id == row.second_response_id,
        *where,
    )


def _shown_count(session: Session, queue_id: int, annotator_id: int) -> int:
    """How many pairs a person has judged or skipped in a queue, gold ones too."""
    of_person = {"queue_id": queue_id, "annotator_id": annotator_id}
    counted = (select(func.count()).select_from(table).filter_by(**of_person) for table in _ANSWERED)
    return sum(session.scalars(query).one() for query in counted)


_ANSWERED = (labels.Judgement, teams.GoldAnswer)
