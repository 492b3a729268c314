"""Inspects a database: its address, whether it answers, its schema's revision, its imports. Changes nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from db.engine import Session, make_engine
from db.migrations import known_revisions, revision_of
from db.schema import curation, labels

OLDEST_POSTGRESQL = 13

Standing = Literal["newest", "older", "newer", "foreign", "empty"]


class NoAnswerError(RuntimeError):
    """The database does not answer; the message is its driver's."""


@dataclass(frozen=True, slots=True)
class Address:
    """A database's URL in parts. `kind`: `sqlite`, `postgresql`, another's name; `shown`: without its password.

    `database`: the path of a file for SQLite, a name for others.
    """

    kind: str
    shown: str
    database: str
    host: str | None
    port: int | None
    user: str | None


@dataclass(frozen=True, slots=True)
class SchemaState:
    """At which revision a schema is, beside the newest there is, and how much a current one holds."""

    standing: Standing
    revision: str | None
    newest: str
    runs: int = 0
    preferences: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """A database that answers. `schema`: None where the server is too old to be used.

    `keeps_locks`: a name that a connection holds is not free for another; False behind a pooler of transactions.
    """

    version: str
    size_bytes: int
    schema: SchemaState | None
    keeps_locks: bool = True


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One import: how many rows of it were stored, and how many different prompts they hold."""

    source_id: int
    source: str
    location: str
    format: str
    rows: int
    prompts: int
    imported_at: datetime


def read_address(url: str) -> Address:
    """Take a URL apart.

    Raises:
        ValueError: If it is no URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("this is no URL of a database") from error
    return Address(
        parsed.get_backend_name(),
        parsed.render_as_string(hide_password=True),
        parsed.database or "",
        parsed.host,
        parsed.port,
        parsed.username,
    )


def is_made(url: str) -> bool:
    """Whether a database holds tables; a SQLite file that is not there is not made by the question.

    Raises:
        ValueError: If the URL names another database.
    """
    engine = make_engine(url) if _may_be_there(url) else None
    if engine is None:
        return False
    with engine.connect() as connection:
        return bool(inspect(connection).get_table_names())


def look(url: str, *, timeout_s: int) -> Condition:
    """Read the version, size and schema of a SQLite or PostgreSQL database; PostgreSQL has `timeout_s` to answer.

    Raises:
        NoAnswerError: If it cannot be reached or read.
        ModuleNotFoundError: If psycopg is wanted and not installed.
    """
    parsed = make_url(url)
    is_postgresql = parsed.get_backend_name() == "postgresql"
    if is_postgresql:
        parsed = parsed.update_query_dict({"connect_timeout": str(timeout_s)})
    elif Path(parsed.database or "").stat().st_size == 0:  # to connect would make it a database
        raise NoAnswerError("the file is empty, not a database")
    try:
        with make_engine(parsed.render_as_string(hide_password=False)).connect() as connection:
            if is_postgresql:
                connection.execute(text(f"SET LOCAL statement_timeout = '{timeout_s}s'"))
                return _postgresql(connection)
            version = f"SQLite {connection.scalar(text('SELECT sqlite_version()'))}"
            return Condition(version, Path(parsed.database or "").stat().st_size, _schema(connection))
    except SQLAlchemyError as error:
        raise NoAnswerError(str(getattr(error, "orig", error)).strip().partition("\n")[0]) from error


def source_summaries(session: Session) -> list[SourceSummary]:
    """All imports, newest first."""
    table, rows = curation.Source, curation.SourceRow
    counts = (func.count(rows.prompt_id), func.count(rows.prompt_id.distinct()))
    query = (
        select(table.id, table.name, table.location, table.format, *counts, table.created_at)
        .outerjoin(rows, rows.source_id == table.id)
        .group_by(table.id)
        .order_by(table.id.desc())
    )
    return [SourceSummary(*row) for row in session.execute(query)]


def _may_be_there(url: str) -> bool:
    """Whether a database may hold something: False for a SQLite file that is absent or of no byte."""
    address = read_address(url)
    path = Path(address.database)
    return address.kind != "sqlite" or (path.is_file() and path.stat().st_size > 0)


def keeps_locks(engine: Engine) -> bool:
    """Whether connections keep what they hold; a pooler of transactions gives two of them the same one behind it."""
    if engine.dialect.name != "postgresql":
        return True
    name = func.hashtext(f"antipode {uuid.uuid4()}")
    taken, given_back = select(func.pg_try_advisory_lock(name)), select(func.pg_advisory_unlock(name))
    lasting = engine.execution_options(isolation_level="AUTOCOMMIT")
    with lasting.connect() as holder, lasting.connect() as other:
        holder.execute(taken)
        if is_shared := bool(other.scalar(taken)):
            other.execute(given_back)
        holder.execute(given_back)
    return not is_shared


def _postgresql(connection: Connection) -> Condition:
    version = f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"
    size_bytes = connection.scalar(text("SELECT pg_database_size(current_database())")) or 0
    is_too_old = (connection.dialect.server_version_info or (0,))[0] < OLDEST_POSTGRESQL
    return Condition(version, size_bytes, None if is_too_old else _schema(connection), keeps_locks(connection.engine))


def _schema(connection: Connection) -> SchemaState:
    revisions = known_revisions()
    revision = revision_of(connection)
    if revision == revisions[-1]:
        runs, preferences = (
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (curation.Run, labels.Preference)
        )
        return SchemaState("newest", revision, revisions[-1], runs, preferences)
    if revision is not None:
        return SchemaState("older" if revision in revisions else "newer", revision, revisions[-1])
    is_empty = not inspect(connection).get_table_names()
    return SchemaState("empty" if is_empty else "foreign", revision, revisions[-1])
