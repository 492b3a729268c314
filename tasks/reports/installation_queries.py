"""What users ask of an installation as a whole: what was imported, what waits for people. Records out."""

from __future__ import annotations

from db.inspection import SourceSummary, source_summaries
from db.labels.queues import QueueInfo, list_queues
from tasks.database import open_database
from tasks.settings import Settings

__all__ = ["QueueInfo", "SourceSummary", "queue_rows", "source_rows"]


def source_rows(settings: Settings) -> list[SourceSummary]:
    """All imports, newest first."""
    with open_database(settings) as sessions, sessions() as session:
        return source_summaries(session)


def queue_rows(settings: Settings) -> list[QueueInfo]:
    """All queues, newest first."""
    with open_database(settings) as sessions, sessions() as session:
        return list_queues(session)
