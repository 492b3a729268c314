"""Latent distances and weights of LD-Align's rounds. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import insert_new
from db.schema import policies


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
    insert_new(session, policies.LatentDistance, [asdict(row) for row in rows])


def distances_of(session: Session, run_id: int, round: int) -> list[LatentDistance]:
    """The distances of a run's round, by prompt and responses."""
    table = policies.LatentDistance
    query = (
        select(table.prompt_id, table.golden_response_id, table.sampled_response_id, table.distance, table.weight)
        .where(table.run_id == run_id, table.round == round)
        .order_by(table.prompt_id, table.golden_response_id, table.sampled_response_id)
    )
    return [LatentDistance(run_id, round, *values) for values in session.execute(query)]
