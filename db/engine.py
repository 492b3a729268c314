"""Engines and sessions for SQLite and PostgreSQL. Nothing is created at import; nothing here knows a table."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakSet

from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Row,
    Select,
    Table,
    create_engine,
    event,
    func,
    orm,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from db.statements.insertion import Inserted, insert_batch
from db.statements.search_words import has_words
from models.errors import is_interrupt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Item = TypeVar("Item")
Record = TypeVar("Record", bound="DataclassInstance")

Session: TypeAlias = orm.Session
Sessions: TypeAlias = orm.sessionmaker[orm.Session]  # what opens sessions on one database

_begun: WeakSet[Session] = WeakSet()  # the sessions of this process that have begun a transaction, ended or not
_TURNS = "turns"  # the session's key of the names whose turn it holds on PostgreSQL
_TURN = "turn"  # the session's key of the file that holds its turn
_CONNECTION = "connection"  # the session's key of its newest connection, the driver's own

LOCK_TIMEOUT_S = 60
# What PostgreSQL's library says of a server that may be back in a moment; a wrong password or name stays wrong.
_GONE = re.compile(
    "connection refused|starting up|shutting down|recovery mode|closed the connection|connection reset|timed out|"
    "timeout expired|too many clients|remaining connection slots|too many connections|is unreachable|"
    "terminating connection",
    re.IGNORECASE,
)
INSERT_BATCH = 5_000
KEPT_CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """What a database's driver says went wrong.

    Attributes:
        reason: in the driver's words.
        is_unusable: whether the database itself, not the statement, is at fault.
        is_gone: whether it may come back by itself: a server that stops, starts or has no connection left.
    """

    reason: str
    is_unusable: bool
    is_gone: bool


def make_engine(url: str, *, keeps_connections: bool = False) -> Engine:
    """Make an engine for a SQLite or PostgreSQL URL; the folder of a SQLite file is made.

    SQLite runs in WAL mode with foreign keys on and waits up to a minute for a lock, so that readers and one writer
    work side by side. A connection is closed with its session: a step that computes for hours holds none; a server
    of many short requests keeps them. Exceptions never print row contents.

    Raises:
        ValueError: If the URL names another database.
        OSError: If the folder of a SQLite file cannot be made.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        shown = url.rpartition("@")[2]  # without its password
        raise ValueError(f"database URL must begin with sqlite:/// or postgresql://, got {shown!r}") from error
    options: dict[str, Any] = {"hide_parameters": True, "poolclass": NullPool}
    if keeps_connections:
        options |= {"poolclass": QueuePool, "pool_size": KEPT_CONNECTIONS, "max_overflow": 0, "pool_pre_ping": True}
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), **options)
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"database URL must begin with sqlite:/// or postgresql://, got {parsed.drivername!r}")
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError(f"a database in memory is gone with each connection, got {url!r}; name a file: sqlite:///FILE")
    _make_folder(Path(parsed.database).parent.absolute())
    engine = create_engine(parsed, connect_args={"timeout": LOCK_TIMEOUT_S}, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the database's folder {folder} cannot be made ({error.strerror}); work in a folder that lets you write, "
            "or name others in ANTIPODE_DATABASE_URL and ANTIPODE_ARTIFACT_ROOT"
        ) from error


def shown_url(url: str) -> str:
    """A database's address without its password."""
    return make_url(url).render_as_string(hide_password=True)


def unwritable(url: str) -> list[Path]:
    """Which of a SQLite database's files, and its folder, this user may not write to.

    A `-wal` or `-shm` that was made beside a read-only file is read-only too, and stays so when the file is not.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return []
    path = Path(parsed.database)
    places = [path.parent, *(path.with_name(path.name + end) for end in ("", "-wal", "-shm"))]
    return [place for place in places if place.exists() and not os.access(place, os.W_OK, effective_ids=True)]


def fault_of(error: Exception) -> Fault | None:
    """What the driver says, if the error came from a database."""
    if not isinstance(error, DBAPIError):
        return None
    reason = str(error.orig)
    is_unusable = isinstance(error, OperationalError)
    is_gone = error.connection_invalidated or (is_unusable and bool(_GONE.search(reason)))
    return Fault(reason, is_unusable, is_gone)


def make_session_factory(engine: Engine) -> Sessions:
    """Make sessions whose records stay readable after the commit."""
    sessions = orm.sessionmaker(engine, expire_on_commit=False)
    event.listen(sessions, "after_begin", _break_off)
    event.listen(sessions, "after_transaction_end", _end_turn)
    return sessions


def insert_new(session: Session, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose natural key is not there yet and say how many were new; the others stay as they are.

    The writers of one table take turns: two that insert the same new rows in another order would wait for each other
    for ever.
    """
    return sum(part.new for part in _inserted(session, table, rows, is_numbered=False))


def insert_numbered(session: Session, table: type[Any], rows: Sequence[Mapping[str, Any]]) -> Inserted:
    """Do what `insert_new` does to a table whose `id` counts up, and say the ids where that costs next to nothing."""
    parts = _inserted(session, table, rows, is_numbered=True)
    ids = [id_ for part in parts for id_ in part.ids or ()]
    return Inserted(sum(part.new for part in parts), ids if len(ids) == len(rows) else None)


def _inserted(
    session: Session, table: type[Any], rows: Sequence[Mapping[str, Any]], *, is_numbered: bool
) -> list[Inserted]:
    if not rows:
        return []
    target: Table = table.__table__
    take_turn(session, target.name)
    connection = session.connection()
    return [insert_batch(connection, target, batch, is_numbered=is_numbered) for batch in batches(rows, INSERT_BATCH)]


def take_turn(session: Session, name: str) -> None:
    """Wait until no other transaction holds the turn of this name, and hold it until this one ends.

    What is read after it stays true until then, as far as all who change it take the same turn. On SQLite there is one
    turn, the write lock: a transaction that has only read may fail when it comes to write. SQLite lets those who wait
    for it ask again and again, and whoever asks at the right moment gets it; here they stand in a line.
    """
    connection = session.connection()
    if session.get_bind().dialect.name == "postgresql":
        if name not in (held := session.info.setdefault(_TURNS, set())):
            session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))
            held.add(name)
    elif not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        if path := connection.engine.url.database:
            _stand_in_line(session, Path(path))
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _stand_in_line(session: Session, path: Path) -> None:
    """Wait for the turn at a SQLite file among all processes and threads; it ends with the session's transaction.

    There are two locks, the head of the line and the turn. Who has had a turn must get to the head for the next one,
    and the head is held by the first of those who wait: nobody passes them by, however fast.
    """
    turn = session.info[_TURN] = _open_lock(_lock_file(path, "turn"))
    with _open_lock(_lock_file(path, "line")) as head:
        fcntl.flock(head, fcntl.LOCK_EX)
        fcntl.flock(turn, fcntl.LOCK_EX)


def _break_off(session: Session, _transaction: orm.SessionTransaction, connection: Connection) -> None:
    """While Ctrl-C is on its way out, end the transactions that it fell into: it may have come between two steps.

    They would hold their locks for as long as the interrupt's frames are remembered, and what says that a run was
    stopped would wait for them for ever. Ending a transaction is many steps too, so what it holds is let go one by one.
    """
    own = connection.connection.dbapi_connection
    if is_interrupt(sys.exc_info()[1]):
        for other in [other for other in _begun if other is not session]:
            with suppress(Exception):  # a session that was broken off while it closed may refuse to
                other.close()
            if other.info[_CONNECTION] is not own:  # a pool may have handed it on
                other.info[_CONNECTION].close()
            _let_go(other)
    session.info[_CONNECTION] = own
    _begun.add(session)


def _end_turn(session: Session, transaction: orm.SessionTransaction) -> None:
    if transaction.nested:
        session.info.pop(_TURNS, None)  # what was taken within it may have been given back with it
    if transaction.parent is None:
        session.info.pop(_TURNS, None)
        _let_go(session)


def _let_go(session: Session) -> None:
    """Give the turn at a SQLite file to the next; a step that Ctrl-C breaks off can be done again."""
    if _TURN in session.info:
        session.info[_TURN].close()
        del session.info[_TURN]


def take_writing_turn(session: Session) -> None:
    """On SQLite, stand in the line of those who write, or they pass by; elsewhere rows are locked one by one."""
    if session.get_bind().dialect.name == "sqlite":
        take_turn(session, "")


def _open_lock(path: Path) -> IO[bytes]:
    """Open a file to lock; it is never written, and whoever may write beside it may use another user's."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o666), "rb")


def _lock_file(path: Path, name: str) -> Path:
    return path.with_name(f".{path.name}.{name}.lock")


@contextmanager
def alone(database: Sessions | Session, name: str) -> Iterator[bool]:
    """Hold a name that one process at a time may hold; yields whether it was free. No transaction is opened for it."""
    engine: Any = database.get_bind() if isinstance(database, orm.Session) else database.kw["bind"]
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # The server notices within a minute that the network to this host is cut, and gives the name back.
            limits = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
            connection.execute(select(*(func.set_config(name, value, False) for name, value in limits.items())))
            is_free = bool(connection.scalar(select(func.pg_try_advisory_lock(func.hashtext(name)))))
            try:
                yield is_free
            finally:
                # A connection that is closed gives the name back too, but not at once; one that broke has done it.
                if is_free:
                    with suppress(DBAPIError):
                        connection.execute(select(func.pg_advisory_unlock(func.hashtext(name))))
        return
    with _open_lock(_lock_file(Path(engine.url.database or "antipode"), name.replace(" ", "-"))) as file:
        yield _is_locked_now(file)


def held_names(path: Path) -> list[str]:
    """The names that processes hold (`alone`) in the SQLite database of this path, even if its file is gone."""
    names = []
    for lock in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.lock")):
        with lock.open() as file:
            if not _is_locked_now(file):
                names.append(lock.name.removeprefix(f".{path.name}.").removesuffix(".lock").replace("-", " "))
    return names


def ping(session: Session) -> None:
    """Ask the database for something, to see that it answers."""
    session.execute(text("SELECT 1"))


def refresh_statistics(session: Session, *tables: str) -> None:
    """Let PostgreSQL count these tables anew, of each a sample of 30,000 rows; SQLite plans without.

    Autovacuum does it up to a minute later. Until then a run that was not there counts as one row, and a question about
    all of its candidates compares each with each.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"ANALYZE {', '.join(tables)}"))


def read_rows(session: Session, query: Select[Any]) -> Sequence[Row[Any]]:
    """The rows of a question for columns, all at once.

    SQLAlchemy's way to them through its objects takes 2 µs a row more, and one by one another.

    Raises:
        TypeError: If the question is for whole objects, which would come as all their columns.
    """
    return _asked(session, query).all()


def stream_rows(session: Session, query: Select[Any], size: int) -> Iterator[Row[Any]]:
    """The rows of a question for columns, of which `size` are in memory; errors as of `read_rows`."""
    return chain.from_iterable(_asked(session, query, yield_per=size).partitions())


def _asked(session: Session, query: Select[Any], **options: Any) -> CursorResult[Any]:
    if any(isinstance(one["expr"], type) for one in query.column_descriptions):
        raise TypeError(f"rows are read by columns, and the question is for objects: {query.column_descriptions}")
    session.flush()
    return session.connection().execute(query, execution_options=options)


def as_utc(stored: datetime) -> datetime:
    """A stored time with its time zone: SQLite keeps none, and what was stored is UTC."""
    return stored.astimezone(UTC) if stored.tzinfo else stored.replace(tzinfo=UTC)


def record_of(kind: type[Record], row: object) -> Record:
    """A table's row as a record, which has attributes of the same names and no database behind it."""
    return kind(**dict(zip(_field_names(kind), _values_of(kind)(row), strict=True)))


def row_of(record: DataclassInstance) -> dict[str, Any]:
    """A record of plain values as a row: `dataclasses.asdict` without its copy of every value, which costs most."""
    kind = type(record)
    return dict(zip(_field_names(kind), _values_of(kind)(record), strict=True))


@cache
def _field_names(kind: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def _values_of(kind: type[DataclassInstance]) -> Callable[[object], tuple[Any, ...]]:
    names = _field_names(kind)
    values = attrgetter(*names)
    return values if len(names) > 1 else lambda record: (values(record),)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut the items into lists of `size`; the last may be shorter. Keeps `IN` lists below SQLite's limit."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _is_locked_now(file: IO[Any]) -> bool:
    """Lock a file until it is closed; whether nobody else has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
    connection.create_function("has_words", 2, has_words, deterministic=True)
