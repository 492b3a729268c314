"""Policies as the workbench shows them: a line each, and how they compare with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.evaluations import EvaluationRecord, finished_evaluations
from db.schema.policies import Policy
from models.evaluation.measurements import ComparisonSummary
from models.intervals import Interval


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """A policy as the list shows it."""

    id: int
    name: str
    method: str
    round: int
    status: str
    run_id: int
    snapshot_id: int | None
    start_model: str
    seconds: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a policy does against another, or against a model: its win rate by one annotator.

    `is_mirrored`: the other was the one that was compared, and the rate is read from its side.
    """

    evaluation_id: int
    annotator: str
    rate: Interval
    prompt_count: int
    is_mirrored: bool


def policy_lines(session: Session, *, before: int | None = None, limit: int) -> list[PolicyLine]:
    """The newest policies, or the newest of those that were begun before one."""
    columns = (getattr(Policy, name) for name in PolicyLine.__dataclass_fields__)
    query = select(*columns).order_by(Policy.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Policy.id < before)
    return [PolicyLine(*row) for row in session.execute(query)]


def newest_comparisons(session: Session, policy_ids: Sequence[int]) -> dict[int, EvaluationRecord]:
    """Of each of these policies the comparison that finished last; those that nobody compared are missing."""
    newest: dict[int, EvaluationRecord] = {}
    for evaluation in finished_evaluations(session, policy_ids):
        if evaluation.comparison is not None:
            newest.setdefault(evaluation.policy_id, evaluation)
    return newest


def win_rates(session: Session, policy_ids: Sequence[int]) -> dict[tuple[int, str], list[Comparison]]:
    """How these policies do against each other and against the models they were compared with.

    By policy and opponent (`policy:ID` or a model's name), of each annotator the newest. Each comparison of two of the
    policies stands twice, once from either side.
    """
    among = {f"policy:{policy_id}": policy_id for policy_id in policy_ids}
    found: dict[tuple[int, str], dict[str, Comparison]] = {}

    def keep(policy_id: int, opponent: str, comparison: Comparison) -> None:
        found.setdefault((policy_id, opponent), {}).setdefault(comparison.annotator, comparison)

    for evaluation in finished_evaluations(session, policy_ids):
        summary, opponent = evaluation.comparison, evaluation.baseline
        if summary is None or (evaluation.baseline_id is not None and opponent not in among):
            continue
        own = _comparison(evaluation, summary, is_mirrored=False)
        keep(evaluation.policy_id, opponent, own)
        if opponent in among:
            mirrored = _comparison(evaluation, summary, is_mirrored=True)
            keep(among[opponent], f"policy:{evaluation.policy_id}", mirrored)
    return {place: list(by_annotator.values()) for place, by_annotator in found.items()}


def _comparison(evaluation: EvaluationRecord, summary: ComparisonSummary, *, is_mirrored: bool) -> Comparison:
    value, low, high = summary.rate
    rate = Interval(1 - value, 1 - high, 1 - low) if is_mirrored else summary.rate
    return Comparison(evaluation.id, evaluation.annotator or "people", rate, summary.prompt_count, is_mirrored)
