"""A response's thought lies beside its answer; a prompt under a run's system message names the one it was made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("responses", sa.Column("thought", sa.Text(), nullable=True))
    op.add_column("prompts", sa.Column("derived_from_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))


def downgrade() -> None:
    op.drop_column("prompts", "derived_from_id")
    op.drop_column("responses", "thought")
