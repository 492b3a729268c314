"""Questions in SQL that only read: one statement in, rows out as a stream. Knows no output format."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from db.engine import make_engine
from db.migrations import require_current
from db.reading_role import (
    NO_READER,
    ForbiddenNameError,
    become_reader,
    refuse_names,
    refuse_secret_tables,
    secret_columns,
)
from db.schema.views import VIEWS
from models.guesses import guess
from models.records import UNSTORABLE

Cell = str | int | float | bool | None

ROWS_PER_FETCH = 1_000
BYTES_PER_FETCH = 2**24
STEPS_PER_LOOK = 1_000_000  # of SQLite's machine; a few milliseconds
LARGEST_CELL = 2**26  # bytes; a row that is imported has at most a quarter of it
SQLITE_MEMORY = 2**29  # bytes of the whole process; what is sorted and grouped beyond its cache goes to a file
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"  # as SQLite's file has them, in UTC
ONLY_READS = "antipode sql only reads: one SELECT, or WITH … SELECT"
CORRECT_IT = "correct the question, or leave out the rows that it cannot be asked of"

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_STATISTICS = re.compile("sqlite_stat", re.IGNORECASE)  # holds samples of what is indexed
_CANCELED = "57014"  # PostgreSQL's code for a statement that ran out of its time
_NO_TABLE = re.compile(r'no such table: (?P<sqlite>\S+)|relation "(?P<postgresql>[^"]+)" does not exist')
_NO_COLUMN = re.compile(r"no such column|column .* does not exist")


class QueryError(ValueError):
    """The database refuses a question in SQL."""


class _Clock:
    """The time that a question has."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def over(self) -> QueryError:
        return QueryError(f"the question took longer than {self.timeout_s:g} s; narrow it down, or raise --timeout_s")


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a question, to be read once. Of columns of one name the second is called `name_2`.

    Both databases answer alike: times are text in UTC, JSON is text, a decimal number is an int or a float. `warning`:
    what keeps the database from holding the question to reading, if anything does.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Cell, ...]]
    warning: str | None = None


@contextmanager
def ask(statement: str, url: str, *, timeout_s: float) -> Iterator[Answer]:
    """Run one statement on the database of this URL; the answer can be read until the context ends.

    The database itself refuses to change anything, and to read what is secret. SQLite gives the whole process 512 MiB
    from then on.

    Args:
        statement: one SELECT.
        url: of the database.
        timeout_s: seconds until it is given up, the reading of its rows included.

    Raises:
        KeyboardInterrupt: If Ctrl-C comes while SQLite computes; also while the rows are read.
        QueryError: If the statement is not a question, names what is not there, or takes too long or too much memory;
            also while the rows are read.
    """
    if not statement.strip():
        raise QueryError('there is no SQL; expected e.g. antipode sql "SELECT * FROM run_summary"')
    if UNSTORABLE.search(statement):
        raise QueryError("the SQL holds a NUL or a byte that is not UTF-8; write it anew")
    engine = make_engine(url)
    clock = _Clock(timeout_s)
    try:
        require_current(engine)
        with _one_line_query_errors(engine, clock), _reading_cursor(engine, statement, clock) as (cursor, warning):
            cursor.execute(statement)
            if cursor.description is None:
                hint = "; one that begins with a comment goes through: antipode sql -"
                raise QueryError(f"the statement has no rows; {ONLY_READS}{hint if statement[:2] == '--' else ''}")
            columns = _distinct(str(column[0]) for column in cursor.description)
            yield Answer(columns, _rows(cursor, engine, clock), warning)
    finally:
        engine.dispose()


def view_statement(view: str, run_id: int | None) -> str:
    """The question for all that a view says, newest first, or for what it says of one run.

    Raises:
        QueryError: If there is no such view.
    """
    if view not in VIEWS:
        raise QueryError(f"there is no view {view}; the views are: {', '.join(VIEWS)}")
    return f"SELECT * FROM {view} " + ("ORDER BY 1 DESC" if run_id is None else f"WHERE run_id = {int(run_id)}")


@contextmanager
def _reading_cursor(engine: Engine, statement: str, clock: _Clock) -> Iterator[tuple[Any, str | None]]:
    """A cursor of the database's own library: SQLAlchemy would look for parameters in the statement."""
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if engine.dialect.name == "postgresql":
            warning = _prepare_postgresql(driver, statement, clock)
            # A cursor that is declared: it takes one SELECT alone and sends no more than is fetched.
            cursor = driver.cursor(name="antipode")
        else:
            warning = None
            _prepare_sqlite(driver, clock)
            cursor = driver.cursor()
        try:
            yield cursor, warning
        finally:
            cursor.close()
    finally:
        connection.close()


def _prepare_postgresql(driver: Any, statement: str, clock: _Clock) -> str | None:
    driver.read_only = True
    driver.execute("SET LOCAL TIME ZONE 'UTC'")
    driver.execute(f"SET LOCAL statement_timeout = {max(1, round(1000 * clock.timeout_s))}")
    refuse_names(driver, statement)
    if become_reader(driver):
        return None
    refuse_secret_tables(statement)
    return NO_READER


def _prepare_sqlite(driver: Any, clock: _Clock) -> None:
    driver.execute("PRAGMA query_only=ON")
    driver.execute(f"PRAGMA hard_heap_limit={SQLITE_MEMORY}")
    driver.execute("PRAGMA temp_store=FILE")
    driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CELL)
    secrets = secret_columns()

    def only_reading(action: int, first: str | None, second: str | None, *_: object) -> int:
        is_hidden = action == sqlite3.SQLITE_READ and ((first, second) in secrets or _STATISTICS.match(first or ""))
        is_foreign = action == sqlite3.SQLITE_FUNCTION and second in ("load_extension", "has_words")
        return sqlite3.SQLITE_OK if action in _READING and not is_hidden and not is_foreign else sqlite3.SQLITE_DENY

    driver.set_authorizer(only_reading)  # nor a PRAGMA, ATTACH or VACUUM INTO
    driver.set_progress_handler(clock.is_over, STEPS_PER_LOOK)  # where Ctrl-C is noticed too


def _rows(cursor: Any, engine: Engine, clock: _Clock) -> Iterator[tuple[Cell, ...]]:
    with _one_line_query_errors(engine, clock, CORRECT_IT):
        for row in _fetched(cursor):
            if clock.is_over():
                raise clock.over()
            yield tuple(map(_plain, row))


def _fetched(cursor: Any) -> Iterator[tuple[Any, ...]]:
    """The rows one by one, fetched in as many at a time as their size allows."""
    count = 1
    while rows := cursor.fetchmany(count):
        size = sum(len(cell) for row in rows for cell in row if isinstance(cell, (str, bytes)))
        count = max(1, min(ROWS_PER_FETCH, 2 * count, BYTES_PER_FETCH * len(rows) // (size + 1)))
        yield from rows


@contextmanager
def _one_line_query_errors(engine: Engine, clock: _Clock, hint: str = ONLY_READS) -> Iterator[None]:
    # Python 3.11 has a warning for a second statement, not an error.
    errors: tuple[type[Exception], ...] = (sqlite3.Error, sqlite3.Warning)
    if engine.dialect.name == "postgresql":
        from psycopg import Error

        errors = (Error,)
    try:
        yield
    except ForbiddenNameError as error:
        raise QueryError(f"{error}; {ONLY_READS}") from error
    except MemoryError as error:
        raise QueryError("the question takes too much memory; ask for fewer or shorter values") from error
    except errors as error:
        is_stopped = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        if clock.is_over() and (is_stopped or getattr(error, "sqlstate", None) == _CANCELED):
            raise clock.over() from error
        if is_stopped:
            raise KeyboardInterrupt from error
        raise QueryError(_advice(str(error).splitlines()[0] if str(error) else type(error).__name__, hint)) from error


def _advice(reason: str, hint: str) -> str:
    """The database's words, with what to do."""
    if match := _NO_TABLE.search(reason):
        name = match["sqlite"] or match["postgresql"]
        return f"there is no table {name}; {guess(name, VIEWS)}the views are: {', '.join(VIEWS)}"
    if _NO_COLUMN.search(reason):
        return f"{reason}; what a view has: SELECT * FROM … with --limit 1, or docs/database.md"
    return f"{reason.rstrip('.')}; {hint}"


def _plain(value: Any) -> Cell:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)  # a sum, an average
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).strftime(TIME_FORMAT)
    if isinstance(value, (dict, list)):
        return json.dumps(value)  # with ASCII alone, as SQLite's file has it
    return bytes(value).hex() if isinstance(value, (bytes, memoryview)) else str(value)


def _distinct(names: Iterator[str]) -> tuple[str, ...]:
    distinct_names: list[str] = []
    for name in names:
        number, distinct_name = 2, name
        while distinct_name in distinct_names:
            number, distinct_name = number + 1, f"{name}_{number}"
        distinct_names.append(distinct_name)
    return tuple(distinct_names)
