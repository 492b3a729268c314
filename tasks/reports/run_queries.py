"""What users ask of the database from the command line: runs and their pairs. Records in, records out."""

from __future__ import annotations

from collections.abc import Iterator

from db import pairs, runs
from tasks.database import open_database
from tasks.settings import Settings


def run_summaries(settings: Settings) -> list[runs.RunSummary]:
    """All runs, newest first."""
    with open_database(settings) as sessions, sessions() as session:
        return runs.summaries(session)


def selected_pairs(
    run: str, *, strategy: str | None, limit: int | None, settings: Settings
) -> Iterator[pairs.SelectedPair]:
    """Stream the pairs of a run, given as an id, a name or `last`.

    Raises:
        LookupError: If there is no such run, or no such strategy.
    """
    with open_database(settings) as sessions, sessions() as session:
        run_id = runs.find_run(session, run)
        if strategy:
            from tasks.curation.strategies import check_names  # 6 MB of every kind of run's settings

            check_names(session, run_id, [strategy])
        yield from pairs.selected_pairs(session, run_id, strategy=strategy, limit=limit)


def count_pairs(run: str, *, strategy: str | None, settings: Settings) -> int:
    """How many pairs a run selected, by a strategy or by all.

    Raises:
        LookupError: If there is no such run.
    """
    with open_database(settings) as sessions, sessions() as session:
        return pairs.count_pairs(session, runs.find_run(session, run), strategy=strategy)


def find_run(run: str, settings: Settings) -> int:
    """The id of a run given as an id, a name or `last`.

    Raises:
        LookupError: If there is none.
    """
    with open_database(settings) as sessions, sessions() as session:
        return runs.find_run(session, run)


def study_of(run: str, settings: Settings) -> int | None:
    """The id of a study given as such; None for anything else."""
    if not (run.isdecimal() and int(run) < runs.LARGEST_ID):
        return None
    with open_database(settings) as sessions, sessions() as session:
        return next((one.run_id for one in runs.summaries(session, int(run)) if one.kind == runs.STUDY), None)
