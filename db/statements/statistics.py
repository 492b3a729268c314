"""What PostgreSQL's planner knows of tables that a run has just filled."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session


def refresh_statistics(session: Session, *tables: str) -> None:
    """Let PostgreSQL count these tables anew, of each a sample of 30,000 rows; SQLite plans without.

    Autovacuum does it up to a minute later. Until then a run that was not there counts as one row, and a question about
    all of its candidates compares each with each.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"ANALYZE {', '.join(tables)}"))
