"""The database of the settings, opened; waited for where it goes away. Knows no engine and no Prefect."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from db.engine import Sessions, fault_of, make_engine, make_session_factory, ping
from db.inspection import is_made
from db.migrations import require_current
from tasks.settings import Settings

Result = TypeVar("Result")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0

logger = logging.getLogger(__name__)


class DatabaseGoneError(RuntimeError):
    """The database went away in the middle of a run, and did not come back in time."""


@contextmanager
def open_database(settings: Settings, *, keeps_connections: bool = False) -> Iterator[Sessions]:
    """Open the database, its schema made if it is empty; connections are closed at the end."""
    engine = make_engine(settings.database, keeps_connections=keeps_connections)
    try:
        require_current(engine)
        yield make_session_factory(engine)
    finally:
        engine.dispose()


def patiently(work: Callable[[], Result], settings: Settings) -> Result:
    """Do some work, and again from its beginning wherever the database went away and came back in time.

    For work that may be done again after it was broken off anywhere: a run that goes on where it was, a transaction.

    Raises:
        DatabaseGoneError: If it does not come back within `settings.database_wait_s`.
    """
    while True:
        try:
            return work()
        except Exception as error:
            if not is_gone(error):
                raise
            _wait(error, settings)


def is_gone(error: BaseException) -> bool:
    """Whether an error says that the database went away, which may come back."""
    fault = fault_of(error) if isinstance(error, Exception) else None
    return fault is not None and fault.is_gone


def _wait(error: Exception, settings: Settings) -> None:
    """Wait until the database answers, longer from try to try."""
    deadline, pause = time.monotonic() + settings.database_wait_s, FIRST_PAUSE_S
    logger.warning("the database went away; waiting up to %g s for it", settings.database_wait_s)
    while True:
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(2 * pause, LONGEST_PAUSE_S)
        try:
            with open_database(settings) as sessions, sessions() as session:
                ping(session)
        except Exception as refused:
            if not is_gone(refused):
                raise
            error = refused
        else:
            logger.warning("the database is back")
            return
        if time.monotonic() >= deadline:
            fault = fault_of(error)
            reason = (fault.reason if fault else str(error)).strip().partition("\n")[0]
            raise DatabaseGoneError(
                f"the database did not come back within {settings.database_wait_s:g} s: {reason}; start it, and give "
                "the same command again: it goes on where it was"
            ) from error


@contextmanager
def looked_at(settings: Settings) -> Iterator[Settings]:
    """The settings for one who only looks: a database that is not made yet stays so, an empty one stands in for it."""
    if is_made(settings.database):
        yield settings
        return
    with TemporaryDirectory(prefix="antipode-") as folder:
        yield settings.model_copy(update={"database_url": f"sqlite:///{Path(folder) / 'empty.db'}"})
