"""The pairs of a prompt are found by run, too."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

BEFORE, NOW = "ix_pairs_prompt_id", "ix_pairs_prompt_id_run_id_id"


def upgrade() -> None:
    op.drop_index(op.f(BEFORE), "pairs")
    op.create_index(op.f(NOW), "pairs", ["prompt_id", "run_id", "id"])


def downgrade() -> None:
    op.drop_index(op.f(NOW), "pairs")
    op.create_index(op.f(BEFORE), "pairs", ["prompt_id"])
