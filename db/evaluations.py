"""Evaluations: a policy beside a baseline, pair by pair. Sessions first, records in and out, no commit.

Who judged the pairs how is in `judgements`, as always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from db.engine import as_utc, insert_new
from db.gate_looks import take_look, take_turn_of_looks
from db.schema.base import utc_now
from db.schema.curation import Run
from db.schema.labels import Annotator
from db.schema.policies import Evaluation, EvaluationPair
from models.evaluation.measurements import ComparisonSummary, Measurements


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One evaluation. `annotator`: the name of who compares; None if nobody does, people do, or none has begun.

    `seed` is that of the run which sampled the responses, None where no run is known.
    """

    id: int
    run_id: int | None
    policy_id: int
    baseline_id: int | None
    baseline_model: str | None
    annotator_id: int | None
    settings: dict[str, Any]
    metrics: Measurements | None
    created_at: datetime
    finished_at: datetime | None
    annotator: str | None
    seed: int | None

    @property
    def baseline(self) -> str:
        """What the policy is compared with: `policy:ID`, or the model's name."""
        return self.baseline_model or f"policy:{self.baseline_id}"

    @property
    def annotator_kind(self) -> str | None:
        """Who was asked to compare: a judge, people and so on; None where no settings are stored."""
        return self.settings.get("annotator")

    @property
    def comparison(self) -> ComparisonSummary | None:
        """The annotator's verdicts on the pairs, summed up; None until someone has compared them."""
        return None if self.metrics is None else self.metrics.comparison


def open_evaluation(
    session: Session,
    *,
    key: str,
    run_id: int | None,
    policy_id: int,
    baseline_id: int | None,
    baseline_model: str | None,
    settings: Mapping[str, Any],
) -> int:
    """The id of the evaluation of this key, stored if it is new. One of `baseline_id` and `baseline_model` is None."""
    row = {
        "key": key,
        "run_id": run_id,
        "policy_id": policy_id,
        "baseline_id": baseline_id,
        "baseline_model": baseline_model,
        "settings": dict(settings),
    }
    insert_new(session, Evaluation, [row])
    return session.scalars(select(Evaluation.id).filter_by(key=key)).one()


def set_annotator(session: Session, evaluation_id: int, annotator_id: int) -> None:
    """Say who compares in an evaluation."""
    session.execute(update(Evaluation).filter_by(id=evaluation_id).values(annotator_id=annotator_id))


def add_evaluation_pairs(session: Session, evaluation_id: int, rows: Sequence[tuple[int, int, int]]) -> None:
    """Store an evaluation's pairs: (prompt id, the policy's response id, the baseline's); known ones stay."""
    names = ("prompt_id", "policy_response_id", "baseline_response_id")
    insert_new(
        session,
        EvaluationPair,
        [{"evaluation_id": evaluation_id, **dict(zip(names, row, strict=True))} for row in rows],
    )


def evaluation_pairs(session: Session, evaluation_id: int) -> list[tuple[int, int, int]]:
    """An evaluation's pairs as they were given, in the order of their ids."""
    table = EvaluationPair
    columns = (table.prompt_id, table.policy_response_id, table.baseline_response_id)
    query = select(*columns).where(table.evaluation_id == evaluation_id).order_by(*columns)
    return [(prompt_id, policy_id, baseline_id) for prompt_id, policy_id, baseline_id in session.execute(query)]


def finish_evaluation(session: Session, evaluation_id: int, metrics: Measurements) -> None:
    """Store an evaluation's measurements in place of earlier ones. Numbers are finite: JSONB has no NaN.

    A comparison that it brings is a look at the baseline (`gate_looks`), whoever wanted to see it. Its time is later
    than that of every other, though the clock was set back meanwhile.
    """
    take_turn_of_looks(session)
    latest, finished_at = session.scalar(select(func.max(Evaluation.finished_at))), utc_now()
    if latest is not None:
        finished_at = max(finished_at, as_utc(latest) + timedelta(microseconds=1))
    values = {"metrics": metrics.as_dict(), "finished_at": finished_at}
    session.execute(update(Evaluation).filter_by(id=evaluation_id).values(values))
    if metrics.comparison is not None:
        take_look(session, evaluation_id, metrics.comparison)


def get_evaluation(session: Session, evaluation_id: int) -> EvaluationRecord:
    """The evaluation of this id.

    Raises:
        LookupError: If there is none.
        MeasurementsVersionError: If its measurements were stored in a version that cannot be read.
    """
    evaluations = _read(session, _query().where(Evaluation.id == evaluation_id))
    if not evaluations:
        raise LookupError(f"there is no evaluation {evaluation_id}; see: antipode policies")
    return evaluations[0]


def evaluations_of(session: Session, policy_id: int) -> list[EvaluationRecord]:
    """A policy's evaluations, newest first."""
    return _read(session, _query().where(Evaluation.policy_id == policy_id).order_by(Evaluation.id.desc()))


def latest_comparison(session: Session, policy_id: int) -> EvaluationRecord | None:
    """The comparison of a policy that finished last, whatever it is compared with."""
    evaluations = finished_evaluations(session, [policy_id])
    return next((evaluation for evaluation in evaluations if evaluation.comparison is not None), None)


def finished_evaluations(session: Session, policy_ids: Sequence[int]) -> list[EvaluationRecord]:
    """The evaluations of these policies that are finished, last finished first."""
    query = _query().where(Evaluation.policy_id.in_(policy_ids), Evaluation.finished_at.is_not(None))
    return _read(session, query.order_by(Evaluation.finished_at.desc(), Evaluation.id.desc()))


def comparisons(session: Session, policy_id: int) -> list[EvaluationRecord]:
    """A policy's comparisons, last finished first; of the same pairs by the same annotator only the newest.

    Such duplicates exist: settings that change no verdict were once part of an evaluation's key.
    """
    newest: dict[tuple[Any, ...], EvaluationRecord] = {}
    for evaluation in finished_evaluations(session, [policy_id]):
        if evaluation.comparison is not None:
            annotator = evaluation.annotator_kind if evaluation.annotator_id is None else evaluation.annotator_id
            newest.setdefault((evaluation.baseline, annotator, *evaluation_pairs(session, evaluation.id)), evaluation)
    return list(newest.values())


def _query() -> Select[tuple[Evaluation, str, dict[str, Any]]]:
    by_annotator = select(Evaluation, Annotator.name, Run.config).outerjoin(
        Annotator, Annotator.id == Evaluation.annotator_id
    )
    return by_annotator.outerjoin(Run, Run.id == Evaluation.run_id)


def _read(session: Session, query: Select[tuple[Evaluation, str, dict[str, Any]]]) -> list[EvaluationRecord]:
    return [
        EvaluationRecord(
            id=row.id,
            run_id=row.run_id,
            policy_id=row.policy_id,
            baseline_id=row.baseline_id,
            baseline_model=row.baseline_model,
            annotator_id=row.annotator_id,
            settings=row.settings,
            metrics=None if row.metrics is None else Measurements.from_dict(row.metrics),
            created_at=row.created_at,
            finished_at=row.finished_at,
            annotator=name,
            seed=(config or {}).get("seed"),
        )
        for row, name, config in session.execute(query)
    ]
