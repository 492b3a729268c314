"""Run by Alembic. Views are not migrated: they are dropped before a migration and made anew after it.

So are the rights of the role that reads them.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from db.reading_role import make_reader
from db.schema.policies import Policy
from db.schema.views import VIEWS


def _migrate(connection: Connection) -> None:
    for name in VIEWS:
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))
    context.configure(connection=connection, target_metadata=Policy.metadata, render_as_batch=True)
    context.run_migrations()
    newest = context.get_head_revision()
    if context.get_context().get_current_revision() == newest:
        for name, query in VIEWS.items():
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))
        make_reader(connection)


_migrate(context.config.attributes["connection"])
