"""Pairs know their length ratio and their label, and have indexes that lists of pairs walk along."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

SORTS = ("similarity", "length_ratio", "vote_count")
LISTED = (*SORTS, "run_id", "strategy", "prompt_id", "first_response_id", "second_response_id", "support", "outcome")
DERIVED = "derived_from_id IS NOT NULL"
LENGTH_RATIO = """
    UPDATE pairs SET length_ratio = (
        SELECT CASE WHEN length(first.text) < length(second.text)
                    THEN CAST(length(first.text) AS float) / length(second.text)
                    WHEN length(first.text) > length(second.text)
                    THEN CAST(length(second.text) AS float) / length(first.text) ELSE 1 END
        FROM responses AS first JOIN responses AS second ON second.id = pairs.second_response_id
        WHERE first.id = pairs.first_response_id
    )
"""
LABELS = """
    UPDATE pairs SET outcome = preferences.outcome, support = preferences.support, vote_count = preferences.vote_count
    FROM preferences WHERE preferences.rule = 'majority'
        AND preferences.first_response_id = pairs.first_response_id
        AND preferences.second_response_id = pairs.second_response_id
"""


def upgrade() -> None:
    op.add_column("pairs", sa.Column("length_ratio", sa.Float(), nullable=False, server_default="1"))
    op.add_column("pairs", sa.Column("outcome", sa.String(20), nullable=True))
    op.add_column("pairs", sa.Column("support", sa.Float(), nullable=True))
    op.add_column("pairs", sa.Column("vote_count", sa.Integer(), nullable=False, server_default="0"))
    op.execute(LENGTH_RATIO)
    op.execute(LABELS)
    for sort in SORTS:
        op.create_index(f"ix_pairs_by_{sort}", "pairs", [sort, "id", *(name for name in LISTED if name != sort)])
    op.create_index(op.f("ix_pairs_second_response_id"), "pairs", ["second_response_id"])
    op.create_index(op.f("ix_guard_flags_response_id_rule"), "guard_flags", ["response_id", "rule"])
    op.create_index(
        op.f("ix_prompts_derived_from_id"),
        "prompts",
        ["derived_from_id"],
        sqlite_where=sa.text(DERIVED),
        postgresql_where=sa.text(DERIVED),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_prompts_derived_from_id"), "prompts")
    op.drop_index(op.f("ix_guard_flags_response_id_rule"), "guard_flags")
    op.drop_index(op.f("ix_pairs_second_response_id"), "pairs")
    for sort in SORTS:
        op.drop_index(f"ix_pairs_by_{sort}", "pairs")
    for name in ("vote_count", "support", "outcome", "length_ratio"):
        op.drop_column("pairs", name)
