"""Judgements and who made them. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from db.engine import as_utc, batches, insert_new, read_rows, row_of, take_turn
from db.runs import CALIBRATE
from db.schema import curation, labels
from db.schema.base import utc_now
from db.statements.among import among
from models.guesses import guess
from models.labelling.records import AnnotatorIdentity, Judgement, PairKey, Verdict
from models.quality.records import Annotator, AnnotatorJudgement
from models.records import shortened

LOOKUP_BATCH = 5_000
LONGEST_SHOWN_NAME = 200  # of `annotators.name`; the key has the whole

AboutPairs = (
    labels.Judgement | labels.Preference | labels.Prediction | labels.QueuePair | curation.Pair | curation.SourcePair
)
Showings = dict[int, dict[int, Verdict]]  # annotator id → left response id → verdict


def add_annotator(session: Session, identity: AnnotatorIdentity) -> int:
    """Store an annotator if there is none of its key; return its id."""
    insert_new(
        session,
        labels.Annotator,
        [
            {
                "key": identity.key,
                "kind": identity.kind,
                "name": shortened(identity.name, LONGEST_SHOWN_NAME),
                "settings": dict(identity.settings),
                "has_both_orders": identity.has_both_orders,
            }
        ],
    )
    return session.scalars(select(labels.Annotator.id).filter_by(key=identity.key)).one()


def find_annotator(session: Session, identity: AnnotatorIdentity) -> int | None:
    """The id of this annotator, if it has ever judged."""
    return session.scalar(select(labels.Annotator.id).filter_by(key=identity.key))


def find_person(session: Session, name: str) -> int | None:
    """The id of the person of this name, if they have ever been let in or imported."""
    return find_annotator(session, AnnotatorIdentity("person", name))


def annotators(session: Session, ids: Collection[int] | None = None) -> dict[int, Annotator]:
    """Annotators by id, all of them unless ids are given."""
    query = select(labels.Annotator).order_by(labels.Annotator.id)
    return {
        row.id: Annotator(row.id, row.name, row.kind, row.has_both_orders)  # type: ignore[arg-type]
        for row in session.scalars(query)
        if ids is None or row.id in ids
    }


def find_annotators(session: Session, names: Sequence[str]) -> list[int]:
    """The ids of the annotators of these names, of every kind and settings.

    Raises:
        LookupError: If a name is unknown; the message lists those there are.
    """
    all_annotators = annotators(session).values()
    for name in names:
        if name not in {annotator.name for annotator in all_annotators}:
            names_text = ", ".join(sorted({repr(annotator.name) for annotator in all_annotators})) or "none yet"
            near = guess(name, {annotator.name for annotator in all_annotators})
            raise LookupError(f"there is no annotator {name!r}; {near}{'There' if near else 'there'} are: {names_text}")
    return [annotator.id for annotator in all_annotators if annotator.name in names]


def take_turn_of_judgements(session: Session) -> None:
    """Let nobody else who takes it store judgements until this transaction ends: what is read from here stays true."""
    take_turn(session, labels.Judgement.__tablename__)


def add_judgements(
    session: Session,
    annotator_id: int,
    judgements: Iterable[Judgement],
    *,
    run_id: int | None = None,
    queue_id: int | None = None,
    guidelines_version: int | None = None,
) -> int:
    """Store judgements; one of the same annotator, pair and left side stays as it is. Returns how many were new."""
    rows = []
    for judgement in judgements:
        row = row_of(judgement)
        first_id, second_id = row.pop("pair")
        row |= {"first_response_id": first_id, "second_response_id": second_id}
        row["created_at"] = row.pop("judged_at") or utc_now()
        origin = {"run_id": run_id, "queue_id": queue_id, "guidelines_version": guidelines_version}
        rows.append(row | {"annotator_id": annotator_id, **origin})
    return insert_new(session, labels.Judgement, rows)


def remove_judgement(session: Session, judgement_id: int) -> PairKey:
    """Take a judgement back; return its pair, whose preference is to be recomputed."""
    judgement = session.get_one(labels.Judgement, judgement_id)
    session.delete(judgement)
    session.flush()
    return PairKey(judgement.first_response_id, judgement.second_response_id)


def newest_by_person(session: Session, annotator_id: int, pairs: Sequence[PairKey]) -> dict[PairKey, Judgement]:
    """What a person says of these pairs, with when they said so (UTC); pairs they have not judged are left out."""
    table = labels.Judgement
    columns = (table.left_response_id, table.verdict, table.rationale, table.seconds, table.strength, table.created_at)
    rows = rows_about(session, table, pairs, table.annotator_id, table.id, *columns)
    own = sorted((row for row in rows if row[1] == annotator_id), key=lambda row: row[2])
    return {
        pair: Judgement(
            pair,
            left_id,
            verdict,
            rationale=rationale,
            seconds=seconds,
            strength=strength,
            judged_at=as_utc(created_at),
        )
        for pair, _, _, left_id, verdict, rationale, seconds, strength, created_at in own
    }


def correct_judgements(session: Session, annotator_id: int, judgements: Iterable[Judgement]) -> None:
    """Put these in the place of what the person said of the same pairs before, which is gone; the queue stays the same.

    Raises:
        LookupError: If there is none to be replaced.
    """
    table = labels.Judgement
    by_pair = {judgement.pair: judgement for judgement in judgements}
    ids: dict[PairKey, list[int]] = {}
    for pair, judged_by, id_ in rows_about(session, table, sorted(by_pair), table.annotator_id, table.id):
        if judged_by == annotator_id:
            ids.setdefault(pair, []).append(id_)
    if missing := by_pair.keys() - ids.keys():
        raise LookupError(f"annotator {annotator_id} has no judgement of the pair {tuple(min(missing))}")
    # Shown the other way round, a pair may have two; a person has one verdict.
    older = [id_ for of_pair in ids.values() for id_ in sorted(of_pair)[:-1]]
    for batch in batches(older, LOOKUP_BATCH):
        session.execute(delete(table).where(among(table.id, batch)))
    changes = [{"id": max(ids[pair]), **_changes(judgement)} for pair, judgement in by_pair.items()]
    if changes:
        session.execute(update(table), changes)


def _changes(judgement: Judgement) -> dict[str, Any]:
    """What a person may say otherwise."""
    return {
        "left_response_id": judgement.left_response_id,
        "verdict": judgement.verdict,
        "rationale": judgement.rationale,
        "seconds": judgement.seconds,
        "strength": judgement.strength,
        "created_at": judgement.judged_at or utc_now(),
    }


def judged_showings(session: Session, annotator_id: int, pairs: Sequence[PairKey]) -> set[tuple[PairKey, int]]:
    """What an annotator has judged already of these pairs: (pair, left response id)."""
    table = labels.Judgement
    # The annotator is compared here: with it in the query, SQLite reads every judgement they ever made.
    rows = rows_about(session, table, pairs, table.left_response_id, table.annotator_id)
    return {(pair, left_id) for pair, left_id, judged_by in rows if judged_by == annotator_id}


def showings(session: Session, pairs: Sequence[PairKey]) -> dict[PairKey, Showings]:
    """Every label of these pairs: pair → annotator → left response → verdict. Pairs without one are left out."""
    return by_showing(judgements_on(session, pairs))


def by_showing(judgements: Iterable[AnnotatorJudgement]) -> dict[PairKey, Showings]:
    """The verdicts of these judgements: pair → annotator → left response → verdict."""
    by_pair: dict[PairKey, Showings] = {}
    for judgement in judgements:
        by_annotator = by_pair.setdefault(judgement.pair, {})
        by_annotator.setdefault(judgement.annotator_id, {})[judgement.left_response_id] = judgement.verdict
    return by_pair


def is_label() -> ColumnElement[bool]:
    """Whether a judgement is a label: not given only to measure its annotator."""
    run_id = labels.Judgement.run_id
    return run_id.is_(None) | run_id.not_in(select(curation.Run.id).where(curation.Run.kind == CALIBRATE))


def judgements_on(
    session: Session, pairs: Sequence[PairKey], *, has_calibrations: bool = False
) -> list[AnnotatorJudgement]:
    """Every judgement on these pairs, oldest first; those that were given to measure an annotator only if asked."""
    table = labels.Judgement
    columns = (table.annotator_id, table.left_response_id, table.verdict, table.margin, table.seconds, table.strength)
    where = None if has_calibrations else is_label()
    rows = sorted(rows_about(session, table, pairs, table.id, *columns, where=where), key=lambda row: row[1])
    return [AnnotatorJudgement(annotator_id, pair, *values) for pair, _, annotator_id, *values in rows]


def judged_by_people(session: Session, pairs: Sequence[PairKey]) -> set[PairKey]:
    """Those of these pairs that a person has said something of, other than that they skip them."""
    table = labels.Judgement
    people = select(labels.Annotator.id).filter_by(kind="person")
    is_theirs = table.annotator_id.in_(people) & (table.verdict != "skip")
    return {pair for (pair,) in rows_about(session, table, pairs, where=is_theirs)}


def take_over_calibrated(session: Session, annotator_id: int, pairs: Collection[PairKey], run_id: int) -> list[PairKey]:
    """Make what an annotator has said of these pairs in calibrations labels of a run; return the pairs, in order.

    The preferences of these are to be recomputed.
    """
    table, run = labels.Judgement, curation.Run
    asked = set(pairs)
    calibrations = select(run.id).where(run.kind == CALIBRATE, run.annotator_id == annotator_id)
    query = select(table.id, table.first_response_id, table.second_response_id)
    query = query.where(table.run_id.in_(calibrations), table.annotator_id == annotator_id)
    found = {id_: pair for id_, *ids in session.execute(query) if (pair := PairKey(*ids)) in asked}
    for batch in batches(found, LOOKUP_BATCH):
        session.execute(update(table).where(among(table.id, batch)).values(run_id=run_id))
    return sorted(set(found.values()))


def verdict_counts(session: Session, run_id: int) -> dict[str, int]:
    """How often a run that labels got each verdict."""
    table = labels.Judgement
    query = select(table.verdict, func.count()).where(table.run_id == run_id).group_by(table.verdict)
    return dict(session.execute(query.order_by(func.count().desc())).all())  # type: ignore[arg-type]


def unparsed_replies(session: Session, annotator_id: int, pairs: Sequence[PairKey]) -> tuple[int, str | None]:
    """How many replies of an annotator about these pairs have no verdict, and one of them."""
    table = labels.Judgement
    rows = rows_about(session, table, pairs, table.id, table.annotator_id, table.verdict)
    found = [id_ for _, id_, judged_by, verdict in rows if judged_by == annotator_id and verdict == "unparsed"]
    return len(found), session.scalar(select(table.raw_reply).filter_by(id=found[0])) if found else None


def annotator_of_run(session: Session, run_id: int) -> Annotator | None:
    """Who judges in a run that labels; None for people, and before the run has begun."""
    annotator_id = session.scalar(select(curation.Run.annotator_id).filter_by(id=run_id))
    return None if annotator_id is None else annotators(session, {annotator_id})[annotator_id]


def rows_about(
    session: Session,
    table: type[
        labels.Judgement
        | labels.Preference
        | labels.QueuePair
        | labels.Prediction
        | curation.Pair
        | curation.SourcePair
    ],
    pairs: Sequence[PairKey],
    *columns: Any,
    where: ColumnElement[bool] | None = None,
) -> Iterator[tuple[Any, ...]]:
    """The rows of a table that are about these pairs, and for which `where` holds: (pair, *columns).

    The second response is compared here: with both in the query, SQLite scans the table and ignores the index.
    """
    first, second = table.first_response_id, table.second_response_id
    for batch in batches(pairs, LOOKUP_BATCH):
        batch_pairs = set(batch)
        query = select(first, second, *columns).where(among(first, {pair.first_response_id for pair in batch}))
        if where is not None:
            query = query.where(where)
        for first_id, second_id, *values in read_rows(session, query):
            pair = PairKey(first_id, second_id)
            if pair in batch_pairs:
                yield pair, *values
