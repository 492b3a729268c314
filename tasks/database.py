"""The database of the settings, opened. Knows no engine and no Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from db.engine import Sessions, make_engine, make_session_factory
from db.migrations import require_current
from tasks.settings import Settings


@contextmanager
def open_database(settings: Settings, *, keeps_connections: bool = False) -> Iterator[Sessions]:
    """Open the database, its schema made if it is empty; connections are closed at the end."""
    engine = make_engine(settings.database, keeps_connections=keeps_connections)
    try:
        require_current(engine)
        yield make_session_factory(engine)
    finally:
        engine.dispose()
