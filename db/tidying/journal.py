"""Files whose owners are forgotten and which may still be there. Sessions first, no commit.

They are noted in the transaction that forgets their owners, and struck out when they are gone: a process that is killed
in between leaves the note, and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.schema.tidying import Forgetting


@dataclass(frozen=True, slots=True)
class Pending:
    """Files and folders to be removed, relative to the artifact root. `what`: whose they were, as a person says it.

    `noted_at` (UTC): when their owner was forgotten.
    """

    id: int
    what: str
    paths: tuple[str, ...]
    noted_at: datetime


def note(session: Session, what: str, paths: Sequence[str]) -> None:
    """Note that these are to be removed."""
    session.add(Forgetting(what=what, paths=list(paths)))
    session.flush()


def pending(session: Session) -> list[Pending]:
    """All that is to be removed, oldest first."""
    rows = session.scalars(select(Forgetting).order_by(Forgetting.id))
    return [Pending(row.id, row.what, tuple(row.paths), as_utc(row.created_at)) for row in rows]


def strike_out(session: Session, id_: int) -> None:
    """Say that they are gone."""
    session.execute(delete(Forgetting).filter_by(id=id_))
