"""Runs know which deployment started them, how often they were taken up after a death, what they took of the device."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("deployment", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("flow_run_id", sa.String(length=36), nullable=True))
    op.add_column("runs", sa.Column("resumes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("device_seconds", sa.Float(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("device_seconds", "resumes", "flow_run_id", "deployment"):
        op.drop_column("runs", name)
