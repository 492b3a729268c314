"""The command line with the planted study, interrupted by Ctrl-C when its run is stored and nobody works on it yet."""

from __future__ import annotations

import os
import signal

import planted_studies
from sqlalchemy import event
from sqlalchemy.orm import Session, UOWTransaction

from db.schema.curation import Run

OPENS = "opens a run"


def note(session: Session, _: UOWTransaction) -> None:
    """Whether the transaction stores a run."""
    session.info[OPENS] = session.info.get(OPENS, False) or any(isinstance(one, Run) for one in session.new)


def interrupt(session: Session) -> None:
    """Press Ctrl-C."""
    if session.info.pop(OPENS, False):
        os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Run the command line."""
    event.listen(Session, "after_flush", note)
    event.listen(Session, "after_commit", interrupt)
    planted_studies.main()


if __name__ == "__main__":
    main()
