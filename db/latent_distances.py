"""Latent distances and weights of LD-Align's rounds, and what the guides that made them were found to do.

Sessions first, records in and out, no commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import insert_new, row_of
from db.schema import policies
from models.guide import GuideCheck


@dataclass(frozen=True, slots=True)
class LatentDistance:
    """How far a sampled response lies from the golden one to the same prompt, and the weight it gets in its round."""

    run_id: int
    round: int
    prompt_id: int
    golden_response_id: int
    sampled_response_id: int
    distance: float
    weight: float


def add_distances(session: Session, rows: Sequence[LatentDistance]) -> None:
    """Store a round's distances; a pair that is there stays as it is."""
    insert_new(session, policies.LatentDistance, [row_of(row) for row in rows])


def distances_of(session: Session, run_id: int, round: int) -> list[LatentDistance]:
    """The distances of a run's round, by prompt and responses."""
    table = policies.LatentDistance
    query = (
        select(table.prompt_id, table.golden_response_id, table.sampled_response_id, table.distance, table.weight)
        .where(table.run_id == run_id, table.round == round)
        .order_by(table.prompt_id, table.golden_response_id, table.sampled_response_id)
    )
    return [LatentDistance(run_id, round, *values) for values in session.execute(query)]


def add_check(session: Session, run_id: int, check: GuideCheck, *, folder: str | None = None) -> None:
    """Store what a run's guide, in this folder among the guides, was found to do; one that is there stays as it is."""
    insert_new(session, policies.GuideCheck, [{"run_id": run_id, "figures": check.as_dict(), "folder": folder}])


def check_of(session: Session, run_id: int) -> GuideCheck | None:
    """What a run's guide was found to do; None where it has no guide, or none that was looked at."""
    row = session.get(policies.GuideCheck, run_id)
    return None if row is None else GuideCheck.from_dict(row.figures)
