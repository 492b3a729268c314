"""The looks at each opponent of the gate, in their order; rows are only added. Sessions first, no commit."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import take_turn
from db.schema.policies import Evaluation, GateLook
from models.evaluation.gate import Look, judged
from models.evaluation.measurements import ComparisonSummary


@dataclass(frozen=True, slots=True)
class LookRecord:
    """One row of `gate_looks`, with the policy that was compared."""

    evaluation_id: int
    policy_id: int
    look: Look
    comparison: ComparisonSummary


def take_turn_of_looks(session: Session) -> None:
    """Let nobody take a look until this transaction ends: two who ask at once get two numbers."""
    take_turn(session, GateLook.__tablename__)


def take_look(session: Session, evaluation_id: int, comparison: ComparisonSummary) -> None:
    """Take the next look at an evaluation's opponent; the figures it was last looked at with are no new look."""
    take_turn_of_looks(session)
    seen = comparison.as_dict()
    last = _newest(session, evaluation_id)
    if last is not None and last.comparison == seen:
        return
    evaluation = session.get_one(Evaluation, evaluation_id)
    opponent = evaluation.baseline_model or f"policy:{evaluation.baseline_id}"
    look = judged(count_of_looks(session, opponent) + 1, comparison.rate, comparison.prompt_count)
    session.add(
        GateLook(
            opponent=opponent,
            number=look.number,
            evaluation_id=evaluation_id,
            level=look.level,
            low=look.low,
            high=look.high,
            comparison=seen,
        )
    )
    session.flush()


def looks_at(session: Session, opponent: str) -> list[LookRecord]:
    """The looks at an opponent (`policy:ID`, a model's name) whose policies there are, whoever took them, in order."""
    query = (
        select(GateLook, Evaluation.id, Evaluation.policy_id)
        .join(Evaluation, Evaluation.id == GateLook.evaluation_id)
        .where(GateLook.opponent == opponent)
        .order_by(GateLook.number)
    )
    return [
        LookRecord(evaluation_id, policy_id, _look(row), ComparisonSummary.from_dict(row.comparison))
        for row, evaluation_id, policy_id in session.execute(query).tuples()
    ]


def count_of_looks(session: Session, opponent: str) -> int:
    """How many looks at an opponent were taken, also of policies that are forgotten."""
    return session.scalar(select(func.max(GateLook.number)).filter_by(opponent=opponent)) or 0


def newest_look(session: Session, evaluation_id: int) -> Look | None:
    """The look that an evaluation's figures were last judged in; None before anybody compared."""
    row = _newest(session, evaluation_id)
    return None if row is None else _look(row)


def _newest(session: Session, evaluation_id: int) -> GateLook | None:
    query = select(GateLook).filter_by(evaluation_id=evaluation_id).order_by(GateLook.number.desc()).limit(1)
    return session.scalar(query)


def _look(row: GateLook) -> Look:
    return Look(row.number, row.level, row.low, row.high)
