"""Trials of studies that are done, each stored as soon as it is. No commit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import insert_new
from db.runs import STUDY
from db.schema import curation, studies
from models.studies.trials import Outcome, Trial


def add_outcome(session: Session, run_id: int, outcome: Outcome) -> None:
    """Store what came of a trial; what is stored of it already stays. A number that is not finite becomes null."""
    row = {"run_id": run_id, "key": outcome.trial.key, **asdict(outcome.trial)}
    insert_new(session, studies.StudyTrial, [row | {"figures": _finite(outcome.figures), "seconds": outcome.seconds}])


def outcomes_of(session: Session, run_id: int) -> dict[str, Outcome]:
    """What is stored of a study, by the trials' keys, in the order in which it came."""
    table = studies.StudyTrial
    query = select(table).filter_by(run_id=run_id).order_by(table.created_at, table.key)
    return {
        row.key: Outcome(Trial(row.arm, row.annotator, row.budget, row.seed, row.part), row.figures, row.seconds)
        for row in session.scalars(query)
    }


def seconds_like(session: Session, settings: Mapping[str, Any]) -> list[float]:
    """What each trial of the studies took that have these settings, by name; of every run, newest run first."""
    runs, table = curation.Run, studies.StudyTrial
    of_studies = select(runs.id, runs.config).where(runs.kind == STUDY)
    alike = [
        run_id
        for run_id, config in session.execute(of_studies).tuples()
        if all(config.get(name) == value for name, value in settings.items())
    ]
    query = select(table.seconds).where(table.run_id.in_(alike)).order_by(table.run_id.desc(), table.key)
    return list(session.scalars(query))


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for: PostgreSQL takes no NaN."""
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
