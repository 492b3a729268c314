"""How the people who label a queue are doing, for whoever leads them. Sessions first, records out, no commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.engine import as_utc
from db.labels.judgements import annotators, judgements_on
from db.labels.queueing import gold
from db.labels.queueing.infos import get_queue
from db.schema import curation, labels
from models.labelling.records import PairKey
from models.quality.gold import GoldCount, Standing, accuracy, standing
from models.quality.quality import annotator_qualities
from models.quality.records import AnnotatorQuality, LabelledPair, Share


@dataclass(frozen=True, slots=True)
class PersonFigures:
    """A person in a queue. `quality`: over its pairs, among people; `gold`: on pairs with a known answer.

    `last_at`: when they last judged one of its pairs or a gold one (UTC).
    """

    annotator_id: int
    name: str
    quality: AnnotatorQuality
    gold: GoldCount
    gold_accuracy: Share
    standing: Standing
    last_at: datetime | None


def people_in(session: Session, queue_id: int) -> list[PersonFigures]:
    """Everybody who has judged a pair of a queue or one of its gold pairs, by name.

    Raises:
        LookupError: If there is no such queue.
    """
    queue = get_queue(session, queue_id)
    pairs = _judged_pairs(session, queue_id)
    everybody = annotators(session)
    judgements = [
        one for one in judgements_on(session, [pair.pair for pair in pairs])
        if everybody[one.annotator_id].kind == "person"
    ]  # fmt: skip
    answered, seen = gold.counts(session, queue_id), _last_times(session, queue_id)
    ids = {one.annotator_id for one in judgements} | answered.keys()
    people = sorted((everybody[id_] for id_ in ids), key=lambda one: (one.name, one.id))
    figures = []
    for quality in annotator_qualities(pairs, judgements, people):
        id_ = quality.annotator.id
        count = answered.get(id_, GoldCount(0, 0))
        where = standing(count, bar=queue.gold_bar, has_stop=queue.has_stop)
        figures.append(
            PersonFigures(id_, quality.annotator.name, quality, count, accuracy(count), where, seen.get(id_))
        )
    return figures


def _judged_pairs(session: Session, queue_id: int) -> list[LabelledPair]:
    """The pairs of a queue that somebody has judged or skipped, with the lengths of their responses."""
    table, first, second = labels.QueuePair, aliased(curation.Response), aliased(curation.Response)
    was_seen = (
        select(labels.Judgement.id)
        .join(labels.Annotator)
        .where(
            labels.Annotator.kind == "person",
            labels.Judgement.first_response_id == table.first_response_id,
            labels.Judgement.second_response_id == table.second_response_id,
        )
    )
    query = (
        select(table.first_response_id, table.second_response_id, first.prompt_id, func.length(first.text),
               func.length(second.text))
        .join(first, first.id == table.first_response_id)
        .join(second, second.id == table.second_response_id)
        .where(table.queue_id == queue_id, was_seen.exists())
        .order_by(table.position)
    )  # fmt: skip
    return [
        LabelledPair(PairKey(first_id, second_id), "", (), None, first_length, second_length, prompt_id)
        for first_id, second_id, prompt_id, first_length, second_length in session.execute(query)
    ]


def _last_times(session: Session, queue_id: int) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for last in (gold.last_times(session, queue_id), _last_judged(session, queue_id)):
        found |= {id_: max(at, found.get(id_, at)) for id_, at in last.items()}
    return found


def _last_judged(session: Session, queue_id: int) -> dict[int, datetime]:
    """When each person last judged a pair of a queue."""
    judgement, table = labels.Judgement, labels.QueuePair
    query = (
        select(judgement.annotator_id, func.max(judgement.created_at))
        .join(
            table,
            (table.first_response_id == judgement.first_response_id)
            & (table.second_response_id == judgement.second_response_id),
        )
        .where(table.queue_id == queue_id)
        .group_by(judgement.annotator_id)
    )
    return {id_: as_utc(at) for id_, at in session.execute(query)}
