"""What the guides of LD-Align's runs were found to do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guide_checks",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column(
            "figures",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_guide_checks_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_guide_checks")),
    )


def downgrade() -> None:
    op.drop_table("guide_checks")
