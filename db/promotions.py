"""Which policy is in use, and which ones were. Rows are only added, the newest counts. Sessions first, no commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import record_of, take_turn
from db.schema.policies import Promotion

PROMOTE, ROLLBACK = "promote", "rollback"


@dataclass(frozen=True, slots=True)
class PromotionRecord:
    """One row of `promotions`."""

    id: int
    policy_id: int | None
    previous_id: int | None
    evaluation_id: int | None
    action: str
    is_forced: bool
    reason: str
    created_at: datetime


def in_use(session: Session) -> int | None:
    """The id of the policy in use, if one is."""
    return session.scalar(select(Promotion.policy_id).order_by(Promotion.id.desc()).limit(1))


def take_turn_of_promotions(session: Session) -> None:
    """Let nobody promote until this transaction ends: what is read from here on stays true."""
    take_turn(session, Promotion.__tablename__)


def was_rolled_back(session: Session, policy_id: int) -> bool:
    """Whether the newest change took this policy out of use."""
    rows = history(session)
    return bool(rows) and rows[-1].action == ROLLBACK and rows[-1].previous_id == policy_id


def promote(session: Session, policy_id: int, *, evaluation_id: int | None, is_forced: bool, reason: str) -> int:
    """Put a policy into use; return the id of its row. A policy in use already is not promoted again."""
    take_turn(session, Promotion.__tablename__)
    rows = history(session)
    if rows and rows[-1].policy_id == policy_id:
        return rows[-1].id
    row = Promotion(
        policy_id=policy_id,
        previous_id=in_use(session),
        evaluation_id=evaluation_id,
        action=PROMOTE,
        is_forced=is_forced,
        reason=reason,
    )
    session.add(row)
    session.flush()
    return row.id


def roll_back(session: Session) -> tuple[int, int | None]:
    """Go back to the policy in use before the current one was promoted; return both. Twice goes back two.

    One that is forgotten is gone back over.

    Raises:
        LookupError: If no policy is in use.
    """
    take_turn(session, Promotion.__tablename__)
    stack: list[int | None] = []
    for row in history(session):
        if row.action == PROMOTE:
            stack.append(row.policy_id)
        else:
            stack.pop()
    standing = [policy_id for policy_id in stack if policy_id is not None]
    if in_use(session) is None or not standing:
        raise LookupError("no policy is in use, there is nothing to go back from; see: antipode policies")
    current, previous = standing[-1], standing[-2] if len(standing) > 1 else None
    reason = f"back from policy {current}"
    session.add(Promotion(policy_id=previous, previous_id=current, action=ROLLBACK, is_forced=False, reason=reason))
    session.flush()
    return current, previous


def history(session: Session) -> list[PromotionRecord]:
    """Every change of the policy in use, oldest first."""
    return [record_of(PromotionRecord, row) for row in session.scalars(select(Promotion).order_by(Promotion.id))]
