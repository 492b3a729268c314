"""What the guides of LD-Align's runs were found to do; stored configurations of IPO say the β that stood for none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

IPO_BETA = 0.1  # the default of IPO until this revision; a run that is taken up goes on with it

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_runs = sa.table("runs", sa.column("id"), sa.column("config", _JSON))


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
    connection = op.get_bind()
    for run_id, config in connection.execute(sa.select(_runs.c.id, _runs.c.config)).all():
        train = config.get("train") or {}
        if train.get("method") == "ipo" and train.get("beta") is None:
            values = {"config": config | {"train": train | {"beta": IPO_BETA}}}
            connection.execute(sa.update(_runs).where(_runs.c.id == run_id).values(values))


def downgrade() -> None:
    """The β stays: it is what the version before takes where none is named."""
    op.drop_table("guide_checks")
