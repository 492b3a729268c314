"""How far annotators agree with a trusted one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("against", sa.String(200), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("prompts", sa.Integer(), nullable=False),
        sa.Column("agreement", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_calibrations_annotator_id_annotators")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_calibrations_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_calibrations")),
    )
    op.create_index(op.f("ix_calibrations_annotator_id"), "calibrations", ["annotator_id"])


def downgrade() -> None:
    # Versions before this one would take them for labels.
    op.execute("DELETE FROM judgements WHERE run_id IN (SELECT id FROM runs WHERE kind = 'calibrate')")
    op.drop_table("calibrations")
