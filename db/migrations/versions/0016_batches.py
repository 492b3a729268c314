"""Batches that a server works on, and whether a judge's reply was cut; of those stored before, nobody knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("replies", sa.Column("is_cut", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "batches",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("questions", _JSON, nullable=False),
        sa.Column("most_cost", sa.Float(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("server_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('planned', 'creating', 'created', 'taken')", name=op.f("ck_batches_state")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_batches_run_id_runs")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_batches")),
    )
    op.create_index("ix_batches_run_id_state", "batches", ["run_id", "state"])


def downgrade() -> None:
    op.drop_table("batches")
    op.drop_column("replies", "is_cut")
