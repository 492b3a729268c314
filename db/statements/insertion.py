"""Insertion of many rows by the quickest way a database has; rows whose natural key is there stay as they are.

Ids follow the order of the rows, which decides ties. SQLite takes tuples at `executemany`. PostgreSQL takes a COPY into
a temporary table, from where one statement inserts: the rows travel as a stream and not as a statement each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON, Column, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW = 200  # below it a temporary table costs more than it saves
_STAGED = "staged_rows"


class Inserted(NamedTuple):
    """How many rows were new; if all were, their ids in the order of the rows, where the database says them at once."""

    new: int
    ids: Sequence[int] | None = None


def insert_batch(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, is_numbered: bool = False
) -> Inserted:
    """Insert rows of the same columns. A column that is not given takes its default.

    Args:
        connection: on SQLite one that holds the write lock.
        table: where to.
        rows: at least one.
        is_numbered: whether the table's `id` counts up, and is wanted.
    """
    assert rows[0].keys() <= set(table.columns.keys()), "a name that is no column"
    is_postgresql = connection.dialect.name == "postgresql"
    if len(rows) < FEW:
        statement = (postgresql if is_postgresql else sqlite).insert(table).on_conflict_do_nothing()
        # Core's executemany; without the option SQLAlchemy drops psycopg's row count.
        return Inserted(connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount)
    preparer = connection.dialect.identifier_preparer
    name = preparer.format_table(table)
    columns = [column for column in table.columns if column.name in rows[0] or _has_own_default(column)]
    names = ", ".join(preparer.quote(column.name) for column in columns)
    values = zip(*(_values_of(column, rows, connection) for column in columns), strict=True)
    if is_postgresql:
        inserted = _insert_postgresql(connection, name, names, values, is_numbered=is_numbered)
        return inserted if inserted.new == len(rows) else Inserted(inserted.new)
    marks = ", ".join("?" * len(columns))
    statement_text = f"INSERT INTO {name} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    options = {"preserve_rowcount": True}
    count = connection.exec_driver_sql(statement_text, list(values), execution_options=options).rowcount
    if not is_numbered or count < len(rows):
        return Inserted(count)
    # SQLite counts up from the largest id, one a row that it stores, and nobody else writes.
    last: int = connection.exec_driver_sql("SELECT last_insert_rowid()").scalar_one()
    return Inserted(count, range(last - count + 1, last + 1))


def _insert_postgresql(
    connection: Connection, table: str, names: str, values: Iterable[tuple[Any, ...]], *, is_numbered: bool
) -> Inserted:
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {_STAGED} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA"
    )
    _copy(connection, f"COPY {_STAGED} ({names}) FROM STDIN", values)
    # Without an ORDER BY the rows keep their order: a temporary table without an index is read from its first page to
    # its last, by one process and never from where another scan is.
    statement = f"INSERT INTO {table} ({names}) SELECT {names} FROM {_STAGED} ON CONFLICT DO NOTHING"
    result = connection.exec_driver_sql(f"{statement} RETURNING id" if is_numbered else statement)
    ids = sorted(result.scalars()) if is_numbered else None
    inserted = Inserted(result.rowcount if ids is None else len(ids), ids)
    connection.exec_driver_sql(f"DROP TABLE {_STAGED}")
    return inserted


def _copy(connection: Connection, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
    """Stream rows; what psycopg raises becomes SQLAlchemy's error, as of every other statement."""
    import psycopg

    own: Any = connection.connection.dbapi_connection
    try:
        with own.cursor() as cursor, cursor.copy(statement) as copy:
            for row in values:
                copy.write_row(row)
    except psycopg.Error as error:
        is_lost = connection.dialect.is_disconnect(error, own, None)  # type: ignore[arg-type]
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost
        ) from error


def _values_of(column: Column[Any], rows: Sequence[Mapping[str, Any]], connection: Connection) -> Iterable[Any]:
    """A column's values as the driver takes them."""
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    if column.name not in rows[0]:
        default = _own_default(column)
        return repeat(default if process is None else process(default), len(rows))
    values = list(map(itemgetter(column.name), rows))
    if process is None:
        return values
    if values.count(None) == len(rows):
        return repeat(process(None), len(rows))
    if isinstance(column.type, JSON):
        written = {id(value): process(value) for value in {id(value): value for value in values}.values()}
        return (written[id(value)] for value in values)
    return map(process, values)


def _has_own_default(column: Column[Any]) -> bool:
    return column.default is not None and (column.default.is_scalar or column.default.is_callable)


def _own_default(column: Column[Any]) -> Any:
    """What SQLAlchemy puts where nothing is given; the time is one for the whole batch."""
    default: Any = column.default
    value: Any | Callable[[Any], Any] = default.arg
    return value(None) if default.is_callable else value
