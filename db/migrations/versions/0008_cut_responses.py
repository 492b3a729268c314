"""Candidates say whether the run leaves them out; those of earlier runs were all taken, cut ones too.

The stored configurations of earlier curations say so, as this version says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_runs = sa.table("runs", sa.column("id"), sa.column("kind"), sa.column("config", _JSON))


def upgrade() -> None:
    op.add_column("candidates", sa.Column("is_left_out", sa.Boolean(), nullable=False, server_default=sa.false()))
    _change_selections(lambda select: {"has_cut": True} | select)


def downgrade() -> None:
    _change_selections(lambda select: {name: value for name, value in select.items() if name != "has_cut"})
    op.drop_column("candidates", "is_left_out")


def _change_selections(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the section `select` of the stored curations."""
    connection = op.get_bind()
    curations = sa.select(_runs.c.id, _runs.c.config).where(_runs.c.kind == "curate")
    for run_id, config in connection.execute(curations).all():
        if "select" in config:
            values = {"config": config | {"select": change(config["select"])}}
            connection.execute(sa.update(_runs).where(_runs.c.id == run_id).values(values))
