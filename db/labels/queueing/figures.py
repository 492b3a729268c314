"""How the people who label a queue are doing, for whoever leads them. Sessions first, records out, no commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.engine import as_utc, batches
from db.labels.judgements import LOOKUP_BATCH, annotators, judgements_on
from db.labels.queueing import gold
from db.labels.queueing.infos import QueueInfo, get_queue
from db.schema import curation, labels
from db.statements.among import among
from models.labelling.records import PairKey
from models.quality.gold import GoldCount, Standing, accuracy, standing
from models.quality.quality import annotator_qualities
from models.quality.records import AnnotatorQuality, LabelledPair, Share

NEWEST = 1_000  # judgements that a page's figures are of: some 40 ms


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


@dataclass(frozen=True, slots=True)
class PersonLately:
    """A person in a queue: all their `verdicts` and `skips` in it; `quality` is of the newest `looked_at` of these."""

    figures: PersonFigures
    verdicts: int
    skips: int
    looked_at: int

    @property
    def is_partly(self) -> bool:
        """Whether there are judgements that the quality is not of."""
        return self.verdicts + self.skips > self.looked_at


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
    return [
        _person(queue, quality, answered, seen.get(quality.annotator.id))
        for quality in annotator_qualities(pairs, judgements, people)
    ]


def people_lately(session: Session, queue_id: int, *, newest: int = NEWEST) -> list[PersonLately]:
    """Everybody who has judged in a queue or answered one of its gold pairs, by name, in a moment however many did.

    Of the `newest` judgements, as many of each person, the pairs are taken; the qualities are over these.

    Raises:
        LookupError: If there is no such queue.
    """
    queue = get_queue(session, queue_id)
    counts, answered = _counts(session, queue_id), gold.counts(session, queue_id)
    last, pairs = gold.last_times(session, queue_id), set[PairKey]()
    of_each = newest // max(len(counts), 1) or 1
    for annotator_id in counts:
        for judged_at, pair in _newest(session, queue_id, annotator_id, of_each):
            last[annotator_id] = max(judged_at, last.get(annotator_id, judged_at))
            pairs.add(pair)
    everybody = annotators(session)
    judgements = [
        one for one in judgements_on(session, sorted(pairs)) if everybody[one.annotator_id].kind == "person"
    ]  # fmt: skip
    ids = {one.annotator_id for one in judgements} | counts.keys() | answered.keys()
    people = sorted((everybody[id_] for id_ in ids), key=lambda one: (one.name, one.id))
    return [
        PersonLately(_person(queue, quality, answered, last.get(id_)), *counts.get(id_, (0, 0)), of_each)
        for quality in annotator_qualities(_with_lengths(session, pairs), judgements, people)
        if (id_ := quality.annotator.id) in counts or id_ in answered
    ]


def _person(
    queue: QueueInfo, quality: AnnotatorQuality, answered: Mapping[int, GoldCount], last_at: datetime | None
) -> PersonFigures:
    id_ = quality.annotator.id
    count = answered.get(id_, GoldCount(0, 0))
    where = standing(count, bar=queue.gold_bar, has_stop=queue.has_stop)
    return PersonFigures(id_, quality.annotator.name, quality, count, accuracy(count), where, last_at)


def _counts(session: Session, queue_id: int) -> dict[int, tuple[int, int]]:
    """Of each person who has judged in a queue the verdicts and the skips, from an index alone."""
    table = labels.Judgement
    is_skip = table.verdict == "skip"
    query = select(table.annotator_id, func.count().filter(~is_skip), func.count().filter(is_skip))
    found = session.execute(query.where(table.queue_id == queue_id).group_by(table.annotator_id))
    return {id_: (verdicts, skips) for id_, verdicts, skips in found}


def _newest(session: Session, queue_id: int, annotator_id: int, limit: int) -> list[tuple[datetime, PairKey]]:
    """The pairs that a person judged last in a queue, and when (UTC); none where they were taken back by now."""
    table = labels.Judgement
    query = select(table.created_at, table.first_response_id, table.second_response_id)
    of_person = query.filter_by(queue_id=queue_id, annotator_id=annotator_id).order_by(table.id.desc()).limit(limit)
    return [(as_utc(at), PairKey(first_id, second_id)) for at, first_id, second_id in session.execute(of_person)]


def _with_lengths(session: Session, pairs: Collection[PairKey]) -> list[LabelledPair]:
    """These pairs with their prompts and the lengths of their responses."""
    table = curation.Response
    query = select(table.id, table.prompt_id, func.length(table.text))
    ids = {id_ for pair in pairs for id_ in pair}
    found = {
        id_: (prompt_id, length)
        for batch in batches(ids, LOOKUP_BATCH)
        for id_, prompt_id, length in session.execute(query.where(among(table.id, batch)))
    }
    return [
        LabelledPair(pair, "", (), None, found[pair[0]][1], found[pair[1]][1], found[pair[0]][0])
        for pair in sorted(pairs)
    ]


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
