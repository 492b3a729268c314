"""Engines and sessions for SQLite and PostgreSQL. Nothing is created at import; nothing here knows a table."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sqlalchemy import Engine, Table, create_engine, event, func, orm, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Item = TypeVar("Item")
Record = TypeVar("Record", bound="DataclassInstance")

Session: TypeAlias = orm.Session
Sessions: TypeAlias = orm.sessionmaker[orm.Session]  # what opens sessions on one database

LOCK_TIMEOUT_S = 60
INSERT_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What a database's driver says went wrong. `is_unusable`: the database itself, not the statement, is at fault."""

    reason: str
    is_unusable: bool


def make_engine(url: str) -> Engine:
    """Make an engine for a SQLite or PostgreSQL URL; the folder of a SQLite file is made.

    SQLite runs in WAL mode with foreign keys on and waits up to a minute for a lock, so that readers and one writer
    work side by side. A connection is closed with its session: a step that computes for hours holds none. Exceptions
    never print row contents.

    Raises:
        ValueError: If the URL names another database.
        OSError: If the folder of a SQLite file cannot be made.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        shown = url.rpartition("@")[2]  # without its password
        raise ValueError(f"database URL must begin with sqlite:/// or postgresql://, got {shown!r}") from error
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), hide_parameters=True, poolclass=NullPool)
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"database URL must begin with sqlite:/// or postgresql://, got {parsed.drivername!r}")
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError(f"a database in memory is gone with each connection, got {url!r}; name a file: sqlite:///FILE")
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, hide_parameters=True, poolclass=NullPool, connect_args={"timeout": LOCK_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def shown_url(url: str) -> str:
    """A database's address without its password."""
    return make_url(url).render_as_string(hide_password=True)


def fault_of(error: Exception) -> Fault | None:
    """What the driver says, if the error came from a database."""
    return Fault(str(error.orig), isinstance(error, OperationalError)) if isinstance(error, DBAPIError) else None


def make_session_factory(engine: Engine) -> Sessions:
    """Make sessions whose records stay readable after the commit."""
    return orm.sessionmaker(engine, expire_on_commit=False)


def insert_new(session: Session, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose natural key is not there yet and say how many were new; the others stay as they are.

    The writers of one table take turns: two that insert the same new rows in another order would wait for each other
    for ever.
    """
    if not rows:
        return 0
    target: Table = table.__table__
    take_turn(session, target.name)
    dialect = session.get_bind().dialect.name
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(target).on_conflict_do_nothing()
    count = 0
    for batch in batches(rows, INSERT_BATCH):
        # Core's executemany; without the option SQLAlchemy drops psycopg's row count.
        count += session.connection().execute(statement, batch, execution_options={"preserve_rowcount": True}).rowcount
    return count


def take_turn(session: Session, name: str) -> None:
    """Wait until no other transaction holds the turn of this name, and hold it until this one ends.

    What is read after it stays true until then, as far as all who change it take the same turn. On SQLite there is one
    turn, the write lock: a transaction that has only read may fail when it comes to write.
    """
    connection = session.connection()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))
    elif not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def alone(database: Sessions | Session, name: str) -> Iterator[bool]:
    """Hold a name that one process at a time may hold; yields whether it was free. No transaction is opened for it."""
    engine: Any = database.get_bind() if isinstance(database, orm.Session) else database.kw["bind"]
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield bool(connection.scalar(select(func.pg_try_advisory_lock(func.hashtext(name)))))  # until it is closed
        return
    path = Path(engine.url.database or "antipode")
    with path.with_name(f".{path.name}.{name.replace(' ', '-')}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def ping(session: Session) -> None:
    """Ask the database for something, to see that it answers."""
    session.execute(text("SELECT 1"))


def as_utc(stored: datetime) -> datetime:
    """A stored time with its time zone: SQLite keeps none, and what was stored is UTC."""
    return stored.astimezone(UTC) if stored.tzinfo else stored.replace(tzinfo=UTC)


def record_of(kind: type[Record], row: object) -> Record:
    """A table's row as a record, which has attributes of the same names and no database behind it."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut the items into lists of `size`; the last may be shorter. Keeps `IN` lists below SQLite's limit."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
