"""The database of the settings, opened; waited for where it goes away. Knows no engine and no Prefect."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from db.engine import Sessions, alone, fault_of, make_engine, make_session_factory, ping
from db.inspection import is_made
from db.migrations import require_current
from models.errors import is_interrupt
from tasks.settings import Settings

Result = TypeVar("Result")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
TURN_PAUSE_S = 1.0
MOST_LOSSES = 5  # one soon after the other: then it is the work that the database does not stand

_is_given_up = False

logger = logging.getLogger(__name__)


class DatabaseGoneError(RuntimeError):
    """The database went away in the middle of a run, and did not come back in time."""


class DatabaseWasAwayError(RuntimeError):
    """The database went away in the middle of a run, and is back."""


@contextmanager
def open_database(settings: Settings, *, keeps_connections: bool = False) -> Iterator[Sessions]:
    """Open the database, its schema made if it is empty; connections are closed at the end."""
    global _is_given_up  # noqa: PLW0603 - what every thread of a process waits for is the same
    engine = make_engine(settings.database, keeps_connections=keeps_connections)
    try:
        require_current(engine)
        _is_given_up = False
        yield make_session_factory(engine)
    finally:
        engine.dispose()


@contextmanager
def in_turn(sessions: Sessions, name: str, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a name that one process at a time may hold, on whatever host; `on_wait` is called once if it is not free."""
    has_waited = False
    while True:
        with alone(sessions, name) as is_free:
            if is_free:
                yield
                return
        if not has_waited:
            on_wait()
        has_waited = True
        time.sleep(TURN_PAUSE_S)


def patiently(work: Callable[[], Result], settings: Settings) -> Result:
    """Do some work, and again from its beginning wherever the database went away and came back in time.

    For work that may be done again after it was broken off anywhere: a run that goes on where it was, a transaction.

    Raises:
        DatabaseGoneError: If it does not come back within `settings.database_wait_s`, or goes away each time.
        KeyboardInterrupt: If the work was interrupted, though the database was away meanwhile.
    """
    losses, back_at = 0, time.monotonic()
    while True:
        try:
            return work()
        except Exception as error:
            if not is_gone(error):
                raise
            if is_interrupt(error):
                raise KeyboardInterrupt from error
            losses = losses + 1 if time.monotonic() - back_at < settings.database_wait_s else 1
            if losses > MOST_LOSSES:
                raise _gone(f"the database went away {losses} times in a row", error) from error
            _wait(error, settings)
            back_at = time.monotonic()


def keep(store: Callable[[], None], settings: Settings) -> None:
    """Store what was paid for, however long the database is away, in the middle of a run.

    Raises:
        DatabaseWasAwayError: If it was away. All is stored, but the run's lock is lost with the connection that held
            it: `patiently` begins the run anew.
        DatabaseGoneError: If it does not come back in time.
    """
    tries = 0

    def attempt() -> None:
        nonlocal tries
        tries += 1
        store()

    patiently(attempt, settings)
    if tries > 1:
        raise DatabaseWasAwayError("the database was away for a moment; the run is taken up anew")


def is_gone(error: BaseException) -> bool:
    """Whether an error says that the database went away, which may come back."""
    fault = fault_of(error) if isinstance(error, Exception) else None
    return isinstance(error, DatabaseWasAwayError) or (fault is not None and fault.is_gone)


def _gone(what: str, error: Exception) -> DatabaseGoneError:
    fault = fault_of(error)
    reason = (fault.reason if fault else str(error)).strip().partition("\n")[0]
    return DatabaseGoneError(f"{what}: {reason}; start it, and give the same command again: it goes on where it was")


def _wait(error: Exception, settings: Settings) -> None:
    """Wait until the database answers, longer from try to try; once it was given up, one try is all."""
    global _is_given_up  # noqa: PLW0603
    limit_s = 0.0 if _is_given_up else settings.database_wait_s
    deadline, pause = time.monotonic() + limit_s, FIRST_PAUSE_S
    logger.warning("the database went away; waiting up to %g s for it", limit_s)
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
            _is_given_up = True
            raise _gone(f"the database did not come back within {settings.database_wait_s:g} s", error) from error


@contextmanager
def looked_at(settings: Settings) -> Iterator[Settings]:
    """The settings for one who only looks: a database that is not made yet stays so, an empty one stands in for it."""
    if is_made(settings.database):
        yield settings
        return
    with TemporaryDirectory(prefix="antipode-") as folder:
        yield settings.model_copy(update={"database_url": f"sqlite:///{Path(folder) / 'empty.db'}"})
