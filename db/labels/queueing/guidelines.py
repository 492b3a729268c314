"""What a queue asks of people: versions that stay. Sessions first, records in and out, no commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.labels import leases
from db.labels.queueing.infos import get_queue
from db.schema import teams

LONGEST_TEXT = 50_000  # characters: people are to read them


@dataclass(frozen=True, slots=True)
class Guidelines:
    """A version of a queue's guidelines, in Markdown; the first is 1. `created_at` in UTC."""

    version: int
    text: str
    created_at: datetime


def newest(session: Session, queue_id: int) -> Guidelines | None:
    """The guidelines in force; None where there were never any. Those taken back are a version without text."""
    table = teams.Guidelines
    row = session.scalars(select(table).filter_by(queue_id=queue_id).order_by(table.version.desc()).limit(1)).first()
    return None if row is None else _record(row)


def versions(session: Session, queue_id: int) -> list[Guidelines]:
    """All versions of a queue's guidelines, the oldest first."""
    query = select(teams.Guidelines).filter_by(queue_id=queue_id).order_by(teams.Guidelines.version)
    return [_record(row) for row in session.scalars(query)]


def write(session: Session, queue_id: int, text: str) -> int:
    """Store a new version, unless it says what the newest one says; return the version in force.

    Raises:
        LookupError: If there is no such queue.
        ValueError: If the text is too long.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"guidelines have at most {LONGEST_TEXT:,} characters, got {len(text):,}; shorten them")
    leases.take_turn(session)
    get_queue(session, queue_id)
    last = newest(session, queue_id)
    if last is not None and last.text == text:
        return last.version
    version = 1 if last is None else last.version + 1
    session.execute(insert(teams.Guidelines).values(queue_id=queue_id, version=version, text=text))
    return version


def _record(row: teams.Guidelines) -> Guidelines:
    return Guidelines(row.version, row.text, as_utc(row.created_at))
