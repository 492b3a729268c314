"""What users ask of what is stored: sources with what was refused of them, snapshots. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass

from db.overviews import listings
from tasks.database import open_database
from tasks.rejects import rejects_path
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source, and how many refused rows its rejects file holds: a row a line, 10,000 at most."""

    source: listings.SourceLine
    rejects: int


def sources(named: str | None, settings: Settings) -> list[ListedSource]:
    """The sources, newest first; of one name, or of one id.

    Raises:
        LookupError: If there is none of it.
    """
    with open_database(settings) as sessions, sessions() as session:
        found = listings.list_sources(session, named)
    return [ListedSource(source, _rejects(source, settings)) for source in found]


def snapshots(named: str | None, settings: Settings) -> list[listings.SnapshotLine]:
    """The snapshots, newest first; of one name, or of one id.

    Raises:
        LookupError: If there is none of it.
    """
    with open_database(settings) as sessions, sessions() as session:
        return listings.list_snapshots(session, named)


def _rejects(source: listings.SourceLine, settings: Settings) -> int:
    path = rejects_path(source.name, source.content_hash, settings)
    if not path.is_file():
        return 0
    with path.open("rb") as lines:
        return sum(1 for _ in lines)
