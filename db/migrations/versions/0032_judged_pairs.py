"""Pairs know whether somebody judged or skipped them, and those have an index by their votes; one by id has prompts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

INDEX, BY_ID = "ix_pairs_judged", "ix_pairs_by_id"
LISTED = (
    "vote_count", "id", "similarity", "length_ratio", "run_id", "strategy", "prompt_id", "first_response_id",
    "second_response_id", "support", "outcome", "is_judged",
)  # fmt: skip
JUDGED = """
    UPDATE pairs SET is_judged = true WHERE EXISTS (
        SELECT 1 FROM judgements WHERE judgements.first_response_id = pairs.first_response_id
            AND judgements.second_response_id = pairs.second_response_id
    )
"""


def upgrade() -> None:
    op.add_column("pairs", sa.Column("is_judged", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(JUDGED)
    where = sa.text("is_judged")
    op.create_index(op.f(INDEX), "pairs", list(LISTED), sqlite_where=where, postgresql_where=where)
    op.create_index(op.f(BY_ID), "pairs", ["id", "prompt_id"])


def downgrade() -> None:
    op.drop_index(op.f(BY_ID), "pairs")
    op.drop_index(op.f(INDEX), "pairs")
    op.drop_column("pairs", "is_judged")
