"""Runs say which number format `auto` stands for in them, and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("dtype", sa.String(length=20), nullable=True))
    op.add_column("runs", sa.Column("dtype_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "dtype_reason")
    op.drop_column("runs", "dtype")
