"""Where a labelling run that is routed sends each pair: to people, or to its cheap annotator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "routes",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("to_people", sa.Boolean(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("certainty", sa.Float(), nullable=True),
        sa.CheckConstraint("first_response_id < second_response_id", name=op.f("ck_routes_ordered")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_routes_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_routes_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_routes_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("run_id", "first_response_id", "second_response_id", name=op.f("pk_routes")),
    )


def downgrade() -> None:
    op.drop_table("routes")
