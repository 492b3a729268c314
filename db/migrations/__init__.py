"""Alembic revisions, and the functions that apply them: `upgrade`, `downgrade`, `require_current`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, inspect, select, text

from db.engine import Session, alone

if TYPE_CHECKING:
    from alembic.config import Config

_FILLING_S = 1.0  # between a new file's first byte and its being there; milliseconds on a local disk
VERSIONS = Path(__file__).parent / "versions"


class DatabaseOutdatedError(RuntimeError):
    """Another version of Antipode, or something else, made the database. The message says it, and what to do."""


class DatabaseBusyError(RuntimeError):
    """Somebody works on the database."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`, and the views with it: all or nothing, one process at a time.

    Raises:
        DatabaseOutdatedError: If a newer version made the database, or something else.
        DatabaseBusyError: If a run is being worked on.
    """
    from alembic import command

    _refuse_emptied(engine)
    with _locked(engine) as connection:
        if (found_revision := revision_of(connection)) not in known_revisions():
            _require_empty(connection, found_revision)
        else:
            _require_idle(engine, connection)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Bring the schema down to `revision` ("base" removes every table)."""
    from alembic import command

    with _locked(engine) as connection:
        command.downgrade(_config(connection), revision)


def require_current(engine: Engine) -> None:
    """Make the schema in an empty database; refuse one that is not at the newest revision.

    Raises:
        DatabaseOutdatedError: If the database is at another revision, or holds tables of something else.
        ValueError: If it is an empty file.
    """
    newest = newest_revision()
    _refuse_emptied(engine)
    with engine.connect() as connection:
        if revision_of(connection) == newest:
            return
    from alembic import command  # takes a tenth of a second, which a current database need not wait for

    with _locked(engine) as connection:
        found_revision = revision_of(connection)
        if found_revision not in known_revisions():
            _require_empty(connection, found_revision)
            command.upgrade(_config(connection), "head")
        elif found_revision != newest:  # else another process has just made it
            raise DatabaseOutdatedError(
                f"the database is at schema revision {found_revision}, this version of Antipode needs {newest}; "
                "make a copy with antipode backup FILE, then run: antipode upgrade"
            )


def newest_revision() -> str:
    """The revision that this version needs."""
    return known_revisions()[-1]


def known_revisions() -> list[str]:
    """All revisions, oldest first: the files' names begin with theirs."""
    return sorted(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))


def revision_of(connection: Connection) -> str | None:
    """The database's revision, None where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _require_empty(connection: Connection, found_revision: str | None) -> None:
    """Refuse to make tables beside those of something else, or of a version that is not known here."""
    if found_revision is not None:
        raise DatabaseOutdatedError(
            f"the database is at schema revision {found_revision}, which a newer version of Antipode made, this one "
            f"knows {newest_revision()}; install that version"
        )
    if set(inspect(connection).get_table_names()) - {"alembic_version"}:
        raise DatabaseOutdatedError(
            "the database holds tables of something else; name an empty one in ANTIPODE_DATABASE_URL"
        )


def _require_idle(engine: Engine, connection: Connection) -> None:
    """Refuse to change tables under the hands of a run, which would fail at its next step."""
    for run_id in connection.scalars(text("SELECT id FROM runs WHERE status = 'running' ORDER BY id")).all():
        with alone(Session(engine), f"run {run_id}") as is_free:
            if not is_free:
                raise DatabaseBusyError(
                    f"run {run_id} is being worked on; stop it, and the labelling page and workers too, then run: "
                    "antipode upgrade"
                )


def _refuse_emptied(engine: Engine) -> None:
    """Refuse a SQLite file without a byte; one that is not there is made, and one that is being made fills at once."""
    path = Path(engine.url.database or "")
    if engine.dialect.name != "sqlite" or not path.is_file():
        return
    end = time.monotonic() + _FILLING_S
    while path.stat().st_size == 0:
        if time.monotonic() > end:
            raise ValueError(
                f"{path} is empty (0 bytes) and no database; take it away to begin anew, or for antipode restore"
            )
        time.sleep(0.05)


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """One transaction: no other migration runs beside it, and what it changed is rolled back if it fails."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("antipode migrations"))))
        else:
            # Python's sqlite3 begins no transaction before CREATE TABLE unless this is None.
            connection.connection.dbapi_connection.isolation_level = None  # type: ignore[union-attr]
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.commit()
        finally:
            connection.detach()  # closed at the end: a pool would give it on with that level


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
