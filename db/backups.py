"""A copy of the whole database in one file, and back. Knows no table but to count runs and judgements; no artifacts.

SQLite is copied by its online backup, PostgreSQL by pg_dump and pg_restore: both are one moment of the database,
whoever writes meanwhile.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from db.engine import held_names, make_engine
from db.migrations import DatabaseOutdatedError, require_current
from db.reading_role import make_reader
from models.files import whole_file

SQLITE_BEGINNING, POSTGRESQL_BEGINNING = b"SQLite format 3\0", b"PGDMP"
POSTGRESQL_PROGRAMS = Path("/usr/lib/postgresql")
SQLITE_LOGS = ("-wal", "-journal")
SCHEMA_TABLE = "alembic_version"
KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class BackupError(ValueError):
    """A backup cannot be made or brought back."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup holds. `size_bytes` is that of its file; `outdated`: who else made its schema, and what to do."""

    size_bytes: int
    runs: int
    judgements: int
    outdated: str | None = None


def back_up(path: Path, url: str) -> Copied:
    """Write the database of this URL into a file; one that is there is replaced when the new one is whole.

    Raises:
        BackupError: If there is nothing to copy, or the file cannot be written.
    """
    if not path.absolute().parent.is_dir():
        raise BackupError(f"there is no folder {path.absolute().parent} to write {path.name} in; make it first")
    if path.is_dir():
        raise BackupError(f"a backup is a file, {path} is a folder; name a file in it")
    with _database(url, must_exist=True) as engine:
        database = engine.url.database or ""
        if engine.dialect.name == "sqlite" and path.exists() and path.samefile(database):
            raise BackupError(f"{path} is the database itself; name another file")
        # Always the same draft: what a killed backup left may be large, and is written over.
        with whole_file(path, draft=path.with_name(f".{path.name}.partial")) as draft:
            if engine.dialect.name == "sqlite":
                runs, judgements = _copy_sqlite(engine, draft)
            else:
                runs, judgements = _dump_postgresql(engine, draft)
    return Copied(path.stat().st_size, runs, judgements)


def restore(path: Path, url: str) -> Copied:
    """Bring a backup back into the empty database of this URL: all or nothing.

    Raises:
        BackupError: If the file is no whole backup of this kind of database, or the database is not empty, or what was
            in its place is still in use or has left its log there.
    """
    with _database(url, must_exist=False) as engine:
        kind = engine.dialect.name
        backup_kind = _kind_of(path)
        if backup_kind != kind:
            raise BackupError(
                f"{path} is a backup of {KINDS[backup_kind]}, ANTIPODE_DATABASE_URL names a {KINDS[kind]} database; "
                f"name one of {KINDS[backup_kind]}"
            )
        if kind == "sqlite":
            _restore_sqlite(engine, path)
        else:
            _restore_postgresql(engine, path)
        with engine.connect() as connection:
            runs, judgements = _counts(connection)
        try:
            require_current(engine)
        except DatabaseOutdatedError as error:
            return Copied(path.stat().st_size, runs, judgements, outdated=str(error))
        with engine.begin() as connection:
            make_reader(connection)  # rights are not in a backup
    return Copied(path.stat().st_size, runs, judgements)


@contextmanager
def _database(url: str, *, must_exist: bool) -> Iterator[Engine]:
    engine = make_engine(url)
    try:
        if must_exist:
            name = engine.url.database
            is_there = engine.dialect.name != "sqlite" or (name is not None and Path(name).is_file())
            if not is_there or not _table_names(engine):
                raise BackupError(
                    f"there is nothing to back up in {engine.url.render_as_string(hide_password=True)}; "
                    "check ANTIPODE_DATABASE_URL and ANTIPODE_ARTIFACT_ROOT"
                )
        yield engine
    finally:
        engine.dispose()


def _kind_of(path: Path) -> str:
    if not path.is_file():
        raise BackupError(f"there is no file {path}; expected one that antipode backup wrote")
    with path.open("rb") as file:
        beginning = file.read(len(SQLITE_BEGINNING))
    if beginning == SQLITE_BEGINNING:
        return "sqlite"
    if beginning.startswith(POSTGRESQL_BEGINNING):
        return "postgresql"
    raise BackupError(f"{path} is no backup of a database; expected a file that antipode backup wrote")


def _table_names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return inspect(connection).get_table_names()


def _require_empty(engine: Engine) -> None:
    if tables := _table_names(engine):
        raise BackupError(
            f"{engine.url.render_as_string(hide_password=True)} holds {len(tables)} tables, a backup is restored only "
            "into an empty database; name a new one in ANTIPODE_DATABASE_URL"
        )


def _counts(connection: Connection) -> tuple[int, int]:
    """Runs and judgements; an older schema may have no judgements."""
    tables = set(inspect(connection).get_table_names())
    runs, judgements = (
        int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0) if name in tables else 0
        for name in ("runs", "judgements")
    )
    return runs, judgements


def _copy_sqlite(engine: Engine, target: Path) -> tuple[int, int]:
    target.unlink(missing_ok=True)
    try:
        with closing(engine.raw_connection()) as source, closing(sqlite3.connect(target)) as copy:
            driver: Any = source.driver_connection
            driver.backup(copy)  # in one step: in several it would begin anew after every write of another process
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, which can be read where nothing can be written
    except sqlite3.Error as error:
        raise BackupError(f"{target.parent} takes no copy of the database: {error}") from error
    with create_engine("sqlite://", creator=lambda: _open_copy(target), poolclass=NullPool).connect() as connection:
        return _counts(connection)


def _open_copy(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)


def _require_free_place(database: Path) -> None:
    """Refuse a place whose database was moved away from under a run, or without the log of its last changes."""
    if database.exists():
        return  # it must be empty, and then it is what its log says
    if names := held_names(database):
        raise BackupError(
            f"{names[0]} is being worked on in {database}, though the file was moved away; stop what works there first"
        )
    if left := [file for file in (database.with_name(database.name + end) for end in SQLITE_LOGS) if file.exists()]:
        raise BackupError(
            f"{left[0]} holds the last changes of a database that was here, and would be lost; move it to where that "
            "database is, under its name, or name another place in ANTIPODE_DATABASE_URL"
        )


def _restore_sqlite(engine: Engine, path: Path) -> None:
    _require_free_place(Path(engine.url.database or ""))
    try:
        with closing(_open_copy(path)) as copy:
            check_result = copy.execute("PRAGMA quick_check").fetchone()[0]
            if check_result != "ok":
                raise BackupError(_broken(path, check_result))
            if not copy.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [SCHEMA_TABLE]).fetchone():
                raise BackupError(_of_something_else(path))
            _require_empty(engine)
            with closing(engine.raw_connection()) as target:
                driver: Any = target.driver_connection
                copy.backup(driver)
    except sqlite3.Error as error:
        raise BackupError(_broken(path, str(error))) from error


def _dump_postgresql(engine: Engine, target: Path) -> tuple[int, int]:
    """The dump sees what this transaction sees, so that what is counted is what it holds."""
    connection = engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with connection:
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        failure = _run_postgresql(
            engine, "pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={target.absolute()}"
        )
        if failure:
            raise BackupError(f"pg_dump could not copy the database: {failure}")
        return _counts(connection)


def _restore_postgresql(engine: Engine, path: Path) -> None:
    listed = subprocess.run([_program("pg_restore"), "--list", str(path)], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise BackupError(_broken(path, _complaint(listed.stderr)))
    if f" {SCHEMA_TABLE} " not in listed.stdout:
        raise BackupError(_of_something_else(path))
    _require_empty(engine)
    # The roles of the other server need not be there.
    without_roles = ("--no-owner", "--no-privileges")
    failure = _run_postgresql(
        engine, "pg_restore", "--exit-on-error", "--single-transaction", *without_roles, str(path.absolute())
    )
    if failure:
        raise BackupError(_broken(path, failure))


def _run_postgresql(engine: Engine, program: str, *arguments: str) -> str | None:
    """Run a program of PostgreSQL on the database; returns what it complains of, if it fails.

    The password goes through the environment: everybody on the machine reads command lines.
    """
    from psycopg.conninfo import make_conninfo

    _, address = engine.dialect.create_connect_args(engine.url)
    address.pop("context", None)  # SQLAlchemy's own, of no meaning to the server
    environment = dict(os.environ)
    if password := address.pop("password", None):
        environment["PGPASSWORD"] = str(password)
    result = subprocess.run(
        [_program(program), "--no-password", f"--dbname={make_conninfo(**address)}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return _complaint(result.stderr) or f"status {result.returncode}" if result.returncode else None


def _program(name: str) -> str:
    if program_path := shutil.which(name):
        return program_path
    versions = sorted(POSTGRESQL_PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise BackupError(f"{name} is not installed; it comes with PostgreSQL's client (Debian: postgresql-client)")
    return str(versions[-1])


def _complaint(stderr: str) -> str:
    """The first error of several lines; what follows it are details."""
    lines = stderr.splitlines()
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return errors[0] if errors else (lines or [""])[-1]


def _broken(path: Path, reason: str) -> str:
    return f"{path} is not restored, the database stays empty: {reason}; take another backup if the file is broken"


def _of_something_else(path: Path) -> str:
    return f"{path} is a backup of something else; expected a file that antipode backup wrote"
