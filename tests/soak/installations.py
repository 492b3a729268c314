"""Installations that are made by the hundred: a database and a folder each, copied from one that was prepared."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import inspect, text

from db.engine import make_engine
from db.migrations import require_current
from tasks.settings import Settings


@dataclass(frozen=True)
class Installation:
    """Where one is."""

    url: str
    root: Path

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return Settings(database_url=self.url, artifact_root=self.root)

    @property
    def environment(self) -> dict[str, str]:
        """Its settings, for a process."""
        return {"ANTIPODE_DATABASE_URL": self.url, "ANTIPODE_ARTIFACT_ROOT": str(self.root)}


class Server(Protocol):
    """Where databases are made."""

    name: str

    def empty(self) -> Installation:
        """A database of the newest schema, and an empty folder."""

    def copy(self, source: Installation) -> Installation:
        """The same again, under another name."""

    def clear(self, installation: Installation) -> None:
        """Leave an empty database without a schema."""

    def give_ids_back(self, installation: Installation) -> None:
        """Let the next row of each table have the number after the last: sides and names are made of ids."""

    def drop(self, installation: Installation) -> None:
        """Delete it."""


class SqliteFiles:
    """Databases that are files."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        """Name the folder that all are in."""
        self._folder = folder

    def empty(self) -> Installation:
        """A database of the newest schema, and an empty folder."""
        installation = self._new()
        installation.root.mkdir()
        _make_schema(installation.url)
        return installation

    def copy(self, source: Installation) -> Installation:
        """The same again: SQLite itself copies, since the last process may have left its log beside the file."""
        installation = self._new()
        shutil.copytree(source.root, installation.root)
        with sqlite3.connect(_path(source)) as old, sqlite3.connect(_path(installation)) as new:
            old.backup(new)
        old.close()
        new.close()
        return installation

    def give_ids_back(self, installation: Installation) -> None:
        """SQLite does so itself."""

    def clear(self, installation: Installation) -> None:
        """Leave an empty database without a schema."""
        for path in installation.root.parent.glob("antipode.db*"):
            path.unlink()

    def drop(self, installation: Installation) -> None:
        """Delete it."""
        shutil.rmtree(installation.root.parent)

    def _new(self) -> Installation:
        folder = self._folder / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True)
        return Installation(f"sqlite:///{folder / 'antipode.db'}", folder / "artifacts")


class PostgresqlServer:
    """Databases on a server."""

    name = "PostgreSQL"

    def __init__(self, url: str, folder: Path) -> None:
        """Name the server, by a URL without a database, and the folder of the artifacts."""
        self._url = url
        self._folder = folder

    def empty(self) -> Installation:
        """A database of the newest schema, and an empty folder."""
        installation = self._new()
        installation.root.mkdir()
        self._execute(f"CREATE DATABASE {_name(installation)}")
        _make_schema(installation.url)
        return installation

    def copy(self, source: Installation) -> Installation:
        """The same again."""
        installation = self._new()
        shutil.copytree(source.root, installation.root)
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_name(source)}'"
        self._execute(end, f"CREATE DATABASE {_name(installation)} TEMPLATE {_name(source)}")
        # A copied sequence believes that its next numbers are in the log already: a power cut would give them twice.
        engine = make_engine(installation.url)
        with engine.begin() as connection:
            last = "pg_sequence_last_value(seqrelid)"
            reset = f"setval(seqrelid::regclass, coalesce({last}, 1), {last} IS NOT NULL)"
            connection.execute(text(f"SELECT {reset} FROM pg_sequence"))
        engine.dispose()
        return installation

    def give_ids_back(self, installation: Installation) -> None:
        """Take back what transactions that were rolled back have used up."""
        engine = make_engine(installation.url)
        with engine.begin() as connection:
            inspector = inspect(connection)
            for table in inspector.get_table_names():
                if any(column["name"] == "id" for column in inspector.get_columns(table)):
                    sequence = f"pg_get_serial_sequence('{table}', 'id')"
                    connection.execute(text(f"SELECT setval({sequence}, coalesce(max(id), 0) + 1, false) FROM {table}"))
        engine.dispose()

    def clear(self, installation: Installation) -> None:
        """Leave an empty database without a schema."""
        name = _name(installation)
        self._execute(f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name}")

    def drop(self, installation: Installation) -> None:
        """Delete it."""
        self._execute(f"DROP DATABASE IF EXISTS {_name(installation)} WITH (FORCE)")
        shutil.rmtree(installation.root.parent)

    def _new(self) -> Installation:
        name = f"soak_{uuid.uuid4().hex[:12]}"
        folder = self._folder / name
        folder.mkdir(parents=True)
        return Installation(f"{self._url}/{name}", folder / "artifacts")

    def _execute(self, *statements: str) -> None:
        engine = make_engine(f"{self._url}/postgres")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()


@contextmanager
def copied(server: Server, source: Installation) -> Iterator[Installation]:
    """A copy for the time of the context."""
    installation = server.copy(source)
    try:
        yield installation
    finally:
        server.drop(installation)


def _make_schema(url: str) -> None:
    engine = make_engine(url)
    require_current(engine)
    engine.dispose()


def _path(installation: Installation) -> str:
    return installation.url.removeprefix("sqlite:///")


def _name(installation: Installation) -> str:
    return installation.url.rpartition("/")[2]
