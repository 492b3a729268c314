"""The database of the settings, opened. Knows no engine and no Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from db.engine import Sessions, make_engine, make_session_factory
from db.inspection import is_made
from db.migrations import require_current
from tasks.settings import Settings


@contextmanager
def open_database(settings: Settings) -> Iterator[Sessions]:
    """Open the database, its schema made if it is empty; connections are closed at the end."""
    engine = make_engine(settings.database)
    try:
        require_current(engine)
        yield make_session_factory(engine)
    finally:
        engine.dispose()


@contextmanager
def looked_at(settings: Settings) -> Iterator[Settings]:
    """The settings for one who only looks: a database that is not made yet stays so, an empty one stands in for it."""
    if is_made(settings.database):
        yield settings
        return
    with TemporaryDirectory(prefix="antipode-") as folder:
        yield settings.model_copy(update={"database_url": f"sqlite:///{Path(folder) / 'empty.db'}"})
