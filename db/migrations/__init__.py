"""Alembic revisions, and the functions that apply them: `upgrade`, `downgrade`, `require_current`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect


class DatabaseOutdatedError(RuntimeError):
    """The database was made by another version of Antipode."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`, and the views with it. All in one transaction."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Bring the schema down to `revision` ("base" removes every table)."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def require_current(engine: Engine) -> None:
    """Make the schema in an empty database; refuse one that is not at the newest revision.

    Raises:
        DatabaseOutdatedError: If the database is at another revision, or holds tables of something else.
    """
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        is_empty = not inspect(connection).get_table_names()
    if found == newest:
        return
    if not is_empty:
        raise DatabaseOutdatedError(
            f"the database is at schema revision {found}, this version of Antipode needs {newest}; "
            "make a backup, then run: antipode upgrade"
        )
    upgrade(engine)


def _config(connection: object = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
