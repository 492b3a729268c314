"""Questions in SQL that only read: one statement in, rows out as a stream. Knows no output format."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from db.engine import make_engine
from db.migrations import require_current
from db.schema.views import VIEWS

Cell = str | int | float | bool | None

ROWS_PER_FETCH = 1_000
STEPS_PER_LOOK = 1_000_000  # of SQLite's machine; a few milliseconds
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"  # as SQLite's file has them, in UTC
ONLY_READS = "antipode sql only reads: one SELECT, or WITH … SELECT"
CORRECT_IT = "correct the question, or leave out the rows that it cannot be asked of"

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_NO_TABLE = re.compile(r'no such table: (?P<sqlite>\S+)|relation "(?P<postgresql>[^"]+)" does not exist')
_NO_COLUMN = re.compile(r"no such column|column .* does not exist")


class QueryError(ValueError):
    """The database refuses a question in SQL."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a question, to be read once. Of columns of one name the second is called `name_2`.

    Both databases answer alike: times are text in UTC, JSON is text, a decimal number is an int or a float.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[Cell, ...]]


@contextmanager
def ask(statement: str, url: str) -> Iterator[Answer]:
    """Run one statement on the database of this URL; the answer can be read until the context ends.

    The database itself refuses to change anything.

    Raises:
        KeyboardInterrupt: If Ctrl-C comes while SQLite computes; also while the rows are read.
        QueryError: If the statement is not a question, or names what is not there; also while the rows are read.
    """
    if not statement.strip():
        raise QueryError('there is no SQL; expected e.g. antipode sql "SELECT * FROM run_summary"')
    engine = make_engine(url)
    try:
        require_current(engine)
        with _one_line_query_errors(engine), _reading_cursor(engine) as cursor:
            cursor.execute(statement)
            if cursor.description is None:
                hint = "; one that begins with a comment goes through: antipode sql -"
                raise QueryError(f"the statement has no rows; {ONLY_READS}{hint if statement[:2] == '--' else ''}")
            columns = _distinct(str(column[0]) for column in cursor.description)
            yield Answer(columns, _rows(cursor, engine))
    finally:
        engine.dispose()


@contextmanager
def _reading_cursor(engine: Engine) -> Iterator[Any]:
    """A cursor of the database's own library: SQLAlchemy would look for parameters in the statement."""
    connection = engine.raw_connection()
    try:
        driver: Any = connection.driver_connection
        if engine.dialect.name == "postgresql":
            driver.read_only = True
            driver.execute("SET LOCAL TIME ZONE 'UTC'")
            # A cursor that is declared: it takes one SELECT alone and sends no more than is fetched.
            cursor = driver.cursor(name="antipode")
            cursor.itersize = ROWS_PER_FETCH
        else:
            driver.execute("PRAGMA query_only=ON")
            driver.set_authorizer(_only_reading)  # nor a PRAGMA, ATTACH or VACUUM INTO
            driver.set_progress_handler(lambda: 0, STEPS_PER_LOOK)  # where Ctrl-C is noticed
            cursor = driver.cursor()
        try:
            yield cursor
        finally:
            cursor.close()
    finally:
        connection.close()


def _only_reading(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _rows(cursor: Any, engine: Engine) -> Iterator[tuple[Cell, ...]]:
    with _one_line_query_errors(engine, CORRECT_IT):
        for row in cursor:
            yield tuple(map(_plain, row))


@contextmanager
def _one_line_query_errors(engine: Engine, hint: str = ONLY_READS) -> Iterator[None]:
    # Python 3.11 has a warning for a second statement, not an error.
    errors: tuple[type[Exception], ...] = (sqlite3.Error, sqlite3.Warning)
    if engine.dialect.name == "postgresql":
        from psycopg import Error

        errors = (Error,)
    try:
        yield
    except errors as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        raise QueryError(_advice(str(error).splitlines()[0] if str(error) else type(error).__name__, hint)) from error


def _advice(reason: str, hint: str) -> str:
    """The database's words, with what to do."""
    if match := _NO_TABLE.search(reason):
        name = match["sqlite"] or match["postgresql"]
        return f"there is no table {name}; the views are: {', '.join(VIEWS)}"
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
