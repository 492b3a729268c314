"""Queues that settle contradictions: who judges there, and how pairs come into them. Sessions first, no commit.

Such a queue is opened once for another queue. A pair that is done there and whose votes contradict each other comes
into it by itself, and leaves it if the contradiction goes before anybody has judged it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from db.engine import INSERT_BATCH, batches
from db.labels import leases
from db.labels.judgements import annotators, is_label, rows_about
from db.labels.preferences import preferences_of
from db.labels.queue_counts import count_anew
from db.labels.queueing import guidelines
from db.labels.queueing.infos import LONGEST_QUEUE_NAME, get_queue
from db.schema import labels, teams
from models.labelling.records import PairKey, Verdict
from models.labelling.rules import STANDING_RULE
from models.labelling.votes import VOTES
from models.records import content_key, shortened


@dataclass(frozen=True, slots=True)
class EarlierVote:
    """What somebody has said of a pair that is to be settled. `machine`: its name; None: a person, who is not named.

    `strength` and `comment`: None where nothing was said.
    """

    verdict: Verdict
    left_response_id: int
    strength: float | None
    comment: str | None
    machine: str | None


def open_adjudication(session: Session, queue_id: int, annotator_ids: Collection[int]) -> int:
    """Open the queue that settles a queue's contradictions, or find it; let just these people judge in it.

    A new one asks for what the queue asks for and has its guidelines. Returns its id.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If it settles contradictions itself, or nobody is named.
    """
    leases.take_turn(session)
    info = get_queue(session, queue_id)
    if info.settles is not None:
        raise ValueError(f"queue {queue_id} ({info.name}) settles contradictions itself; name the queue it is for")
    if not annotator_ids:
        raise ValueError(f"somebody must settle the contradictions of queue {queue_id} ({info.name}); name one or more")
    opened_id = session.scalar(select(teams.Adjudication.queue_id).filter_by(settled_queue_id=queue_id))
    adjudication_id = _open(session, queue_id) if opened_id is None else opened_id
    session.execute(delete(teams.Adjudicator).filter_by(queue_id=adjudication_id))
    rows = [{"queue_id": adjudication_id, "annotator_id": id_} for id_ in sorted(set(annotator_ids))]
    session.execute(insert(teams.Adjudicator), rows)
    if opened_id is None:
        table = labels.QueuePair
        placed = select(table.first_response_id, table.second_response_id).filter_by(queue_id=queue_id)
        feed(session, [PairKey(*pair) for pair in session.execute(placed)])
    return adjudication_id


def adjudicators(session: Session, queue_id: int) -> list[str]:
    """The names of those who may judge in a queue that settles contradictions, by name."""
    query = select(labels.Annotator.name).join(teams.Adjudicator, teams.Adjudicator.annotator_id == labels.Annotator.id)
    return list(session.scalars(query.where(teams.Adjudicator.queue_id == queue_id).order_by(labels.Annotator.name)))


def earlier_votes(session: Session, pair: PairKey) -> list[EarlierVote]:
    """What was said of a pair, oldest first, for those who settle it: a judge's both orders too, but no skip."""
    table = labels.Judgement
    columns = (
        table.id, table.annotator_id, table.verdict, table.left_response_id, table.strength, table.rationale,
    )  # fmt: skip
    rows = sorted(rows_about(session, table, [pair], *columns, where=is_label() & table.verdict.in_(VOTES)))
    by = annotators(session, {annotator_id for _, _, annotator_id, *_ in rows})
    return [
        EarlierVote(verdict, left_id, strength, comment, None if by[who].kind == "person" else by[who].name)
        for _, _, who, verdict, left_id, strength, comment in rows
    ]


def feed(session: Session, pairs: Sequence[PairKey]) -> None:
    """Bring the pairs among these that contradict each other into the queues that settle them; take others out.

    Call it when their preferences are up to date.
    """
    settling = session.execute(select(teams.Adjudication.settled_queue_id, teams.Adjudication.queue_id)).all()
    for batch in batches(dict.fromkeys(pairs), INSERT_BATCH) if settling else ():
        found = preferences_of(session, STANDING_RULE, batch)
        contradicting = {pair for pair, preference in found.items() if preference.outcome == "contradiction"}
        for source_id, queue_id in settling:
            _feed(session, source_id, queue_id, batch, contradicting)


def _open(session: Session, queue_id: int) -> int:
    source = session.get_one(labels.Queue, queue_id)
    queue = labels.Queue(
        key=content_key("adjudication", source.key),
        name=shortened(f"{source.name}: contradictions", LONGEST_QUEUE_NAME),
        judgements_per_pair=1,
        pair_count=0,
        has_strength=source.has_strength,
        has_comment=source.has_comment,
        has_editing=source.has_editing,
    )
    session.add(queue)
    session.flush()
    session.execute(insert(teams.Adjudication).values(queue_id=queue.id, settled_queue_id=queue_id))
    if (asked := guidelines.newest(session, queue_id)) is not None:
        guidelines.write(session, queue.id, asked.text)
    return queue.id


def _feed(
    session: Session, source_id: int, queue_id: int, pairs: Sequence[PairKey], contradicting: Collection[PairKey]
) -> None:
    table = labels.QueuePair
    is_done_there = table.is_done & (table.queue_id == source_id)
    wanted = {pair for (pair,) in rows_about(session, table, pairs, where=is_done_there)} & set(contradicting)
    # What somebody has settled stays, and shows how.
    held = dict(rows_about(session, table, pairs, table.is_done, where=table.queue_id == queue_id))
    gone = [pair for pair, is_done in held.items() if pair not in wanted and not is_done]
    new = sorted(wanted - held.keys())
    for pair in gone:
        of_pair = leases.of_pair(labels.Lease, pair)
        session.execute(delete(labels.Lease).where(labels.Lease.queue_id == queue_id, of_pair))
        session.execute(delete(table).where(table.queue_id == queue_id, leases.of_pair(table, pair)))
    last = session.scalar(select(func.max(table.position)).filter_by(queue_id=queue_id)) or 0
    if new:
        session.execute(
            insert(table),
            [
                {"queue_id": queue_id, "position": at, "first_response_id": first_id, "second_response_id": second_id}
                for at, (first_id, second_id) in enumerate(new, last + 1)
            ],
        )
    if new or gone:
        count_anew(session, queue_id)
