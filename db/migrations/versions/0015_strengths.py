"""How strongly a response is preferred: of judgements, preferences and the rows of snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = ("judgements", "preferences", "snapshot_rows")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("strength", sa.Float(), nullable=True))


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_column(table, "strength")
