"""Judgements and preferences in a database, as tests want them."""

from __future__ import annotations

from sqlalchemy import select

from db.labels import judgements, preferences, snapshots
from db.schema import labels
from models.exchange.trainers import content_hash
from models.labelling.records import AnnotatorIdentity, Judgement

ANNA = AnnotatorIdentity("person", "anna")


BEN = AnnotatorIdentity("person", "ben")


def judge(sessions, identity, pair, verdict, left=None, **values):
    with sessions.begin() as session:
        annotator_id = judgements.add_annotator(session, identity)
        judgement = Judgement(pair, left or pair.first_response_id, verdict, **values)
        new = judgements.add_judgements(session, annotator_id, [judgement])
        return new, preferences.recompute(session, [pair])


def stored(sessions):
    """All judgements, as they came."""
    with sessions() as session:
        return list(session.scalars(select(labels.Judgement).order_by(labels.Judgement.id)))


def rows_of(sessions, run_id, **changes):
    values = {"run_id": run_id, "strategies": (), "min_support": 0.0} | changes
    with sessions() as session:
        return list(snapshots.preference_rows(session, "majority", **values))


def take_snapshot(sessions, rows, name="mine"):
    with sessions.begin() as session:
        return snapshots.add_snapshot(
            session,
            [snapshots.lineage(row) for row in rows],
            name=name,
            content_hash=content_hash(rows),
            query={"rule": "majority"},
        )
