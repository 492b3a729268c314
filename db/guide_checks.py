"""What the guides of LD-Align's runs were found to do. Sessions first, records in and out, no commit."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.engine import insert_new
from db.schema import policies
from models.guide import GuideCheck


def add_check(session: Session, run_id: int, check: GuideCheck) -> None:
    """Store what a run's guide was found to do; one that is there stays as it is."""
    insert_new(session, policies.GuideCheck, [{"run_id": run_id, "figures": check.as_dict()}])


def check_of(session: Session, run_id: int) -> GuideCheck | None:
    """What a run's guide was found to do; None where it has no guide, or none that was looked at."""
    row = session.get(policies.GuideCheck, run_id)
    return None if row is None else GuideCheck.from_dict(row.figures)
