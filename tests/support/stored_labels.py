"""Judgements and preferences in a database, as tests want them."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from db.engine import as_utc, record_of
from db.labels import judgements, preferences, snapshots
from db.labels.predictions import Prediction
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


def predictions_of(session, run_id, pairs):
    """What is expected of these pairs of a run: pair → prediction."""
    stored = session.scalars(select(labels.Prediction).filter_by(run_id=run_id))
    predictions = [replace(record_of(Prediction, row), created_at=as_utc(row.created_at)) for row in stored]
    return {one.pair: one for one in predictions if one.pair in pairs}
