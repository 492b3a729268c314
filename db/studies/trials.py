"""Trials of studies that are done, each stored as soon as it is. No commit."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import insert_new
from db.schema import studies
from models.studies.trials import Outcome, Trial


def add_outcome(session: Session, run_id: int, outcome: Outcome) -> None:
    """Store what came of a trial; what is stored of it already stays."""
    row = {"run_id": run_id, "key": outcome.trial.key, **asdict(outcome.trial)}
    insert_new(session, studies.StudyTrial, [row | {"figures": outcome.figures, "seconds": outcome.seconds}])


def outcomes_of(session: Session, run_id: int) -> dict[str, Outcome]:
    """What is stored of a study, by the trials' keys, in the order in which it came."""
    table = studies.StudyTrial
    query = select(table).filter_by(run_id=run_id).order_by(table.created_at, table.key)
    return {
        row.key: Outcome(Trial(row.arm, row.annotator, row.budget, row.seed, row.part), row.figures, row.seconds)
        for row in session.scalars(query)
    }
