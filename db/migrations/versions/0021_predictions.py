"""What a reward head predicts of the pairs of a run that nobody has labelled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("margin", sa.Float(), nullable=False),
        sa.Column("deviation", sa.Float(), nullable=False),
        sa.Column("label_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("first_response_id < second_response_id", name=op.f("ck_predictions_ordered")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_predictions_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_predictions_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_predictions_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("run_id", "first_response_id", "second_response_id", name=op.f("pk_predictions")),
    )


def downgrade() -> None:
    op.drop_table("predictions")
