"""Who reads on PostgreSQL: a role that can do nothing else, and what a question may not name whoever asks.

The transaction that only reads is not enough: functions read files, take locks, end other connections. And the role is
not: whoever came as a superuser gets out of it by set_config. So what changes anything may not be called.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, text

from db.schema.policies import Policy
from db.schema.views import VIEWS

READER = "antipode_reader"
NO_READER = (
    f"there is no role {READER} that may only read this database, so the question has all rights of the database's "
    "user in a transaction that only reads; make it: docs/database.md"
)

# Changes nothing but from call to call.
_HARMLESS = {"random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7"}
_NAME = re.compile(r"[^\W\d][\w$]*")
_WHOLE_TABLES = re.compile(r"(table|schema|database|cursor|query)_to_xml\w*")
_ESCAPED_NAME = re.compile(r'\bU&"', re.IGNORECASE)


class ForbiddenNameError(ValueError):
    """A question names what it may not."""


def secret_columns() -> set[tuple[str, str]]:
    """The columns, by table and name, that a question may not read: those with `info={"is_secret": True}`."""
    tables = Policy.metadata.tables.values()
    return {(table.name, column.name) for table in tables for column in table.columns if column.info.get("is_secret")}


def make_reader(connection: Connection) -> None:
    """Make the role, if this user may, and let it read the views and the tables, but for what is secret.

    The role is one of the whole server; each database lets it in by itself. On SQLite there are no roles.
    """
    if connection.dialect.name != "postgresql":
        return
    may_create = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    if connection.scalar(text(may_create)):
        # Another database of this server may make it in this moment.
        _try(connection, f"CREATE ROLE {READER} NOLOGIN", "duplicate_object OR unique_violation")
        _try(connection, f"GRANT {READER} TO CURRENT_USER", "insufficient_privilege OR unique_violation")
    if not connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :name"), {"name": READER}):
        return
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {READER}"))
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {READER}"))
    for view in VIEWS:
        connection.execute(text(f"GRANT SELECT ON {view} TO {READER}"))
    secrets = secret_columns()
    for table in Policy.metadata.tables.values():
        names = ", ".join(f'"{column.name}"' for column in table.columns if (table.name, column.name) not in secrets)
        connection.execute(text(f'GRANT SELECT ({names}) ON "{table.name}" TO {READER}'))


def become_reader(connection: Any) -> bool:
    """Give up all rights but the reader's until the transaction ends; whether that could be done.

    Raises:
        ForbiddenNameError: If it could not, and the user is a superuser, whom nothing else would hold.
    """
    from psycopg import Error

    question = """
        SELECT has_table_privilege(oid, to_regclass('run_summary'), 'SELECT')
               AND pg_has_role(current_user, oid, 'MEMBER')
        FROM pg_roles WHERE rolname = %s
    """
    (is_ready,) = connection.execute(question, [READER]).fetchone() or (False,)
    if is_ready:
        try:
            with connection.transaction():  # a savepoint
                connection.execute(f"SET LOCAL ROLE {READER}")
        except Error:  # a member that may not take the role on
            is_ready = False
    if not is_ready and connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
        raise ForbiddenNameError(
            f"a superuser asks as the role {READER} alone, which is missing; make it: antipode upgrade"
        )
    return bool(is_ready)


def refuse_names(connection: Any, statement: str) -> None:
    """Refuse a question that names a function with effects, wherever in it: what stands in a text may be run too.

    Raises:
        ForbiddenNameError: If it does, or writes a name in escapes.
    """
    if _ESCAPED_NAME.search(statement):
        raise ForbiddenNameError('names are written as they are, without U&"…"')
    called = _named(statement) - _HARMLESS
    question = "SELECT lower(proname) FROM pg_proc WHERE provolatile = 'v' AND lower(proname) = ANY(%s) LIMIT 1"
    if found := connection.execute(question, [sorted(called)]).fetchone():
        raise ForbiddenNameError(f"a question may not name {found[0]}, a function that can have effects")


def refuse_secret_tables(statement: str) -> None:
    """Refuse a question that names a table with secrets.

    Raises:
        ForbiddenNameError: If it does.
    """
    tables = {table for table, _ in secret_columns()}
    named = _named(statement)
    if whole := next((name for name in named if _WHOLE_TABLES.fullmatch(name)), None):
        raise ForbiddenNameError(
            f"a question may not name {whole}, which reads whole tables, without the role {READER}"
        )
    for name in tables & named:
        raise ForbiddenNameError(f"a question may not name {name}, which holds secrets, without the role {READER}")


def _named(statement: str) -> set[str]:
    return set(_NAME.findall(statement.lower()))


def _try(connection: Connection, statement: str, fault: str) -> None:
    connection.execute(text(f"DO $$ BEGIN {statement}; EXCEPTION WHEN {fault} THEN NULL; END $$"))
