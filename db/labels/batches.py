"""Batches of questions that a server works on. Sessions first, no commit."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.schema import labels
from models.chat.batch_records import Batch, Service


def add(session: Session, run_id: int, batch: Batch, *, service: Service) -> None:
    """Store a batch before the server hears of it."""
    session.add(
        labels.Batch(
            key=batch.key,
            run_id=run_id,
            purpose=service.purpose,
            base_url=service.base_url,
            model=service.model,
            questions=list(batch.questions),
            most_cost=batch.most_cost,
            state=batch.state,
            server_id=batch.server_id,
        )
    )


def change(session: Session, batch: Batch) -> None:
    """Store how far a batch is."""
    values = {"state": batch.state, "server_id": batch.server_id}
    session.execute(update(labels.Batch).filter_by(key=batch.key).values(values))


def under_way(session: Session, run_id: int, *, service: Service) -> list[Batch]:
    """The run's batches on this service whose results are not stored, the oldest first."""
    table = labels.Batch
    query = (
        select(table)
        .filter_by(run_id=run_id, purpose=service.purpose, base_url=service.base_url, model=service.model)
        .where(table.state != "taken")
        .order_by(table.created_at, table.key)
    )
    return [
        Batch(row.key, tuple(row.questions), row.most_cost, row.state, row.server_id)  # type: ignore[arg-type]
        for row in session.scalars(query)
    ]
