"""How alike the pairs of completed runs are, counted, and indexes by which the lead's pages count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

LISTED = (
    "similarity",
    "length_ratio",
    "vote_count",
    "run_id",
    "strategy",
    "prompt_id",
    "first_response_id",
    "second_response_id",
    "support",
    "outcome",
)
INDEXES = {
    "ix_pairs_run_id_id": ("pairs", ["run_id", "id"], None),
    "ix_pairs_labelled": ("pairs", ["id", *LISTED], "vote_count > 0"),
    "ix_run_prompts_grouped": ("run_prompts", ["run_id", "group_id", "prompt_id"], "group_id IS NOT NULL"),
    "ix_run_prompts_skipped": ("run_prompts", ["run_id", "prompt_id"], "skipped IS NOT NULL"),
    "ix_judgements_in_queue": ("judgements", ["queue_id", "annotator_id", "id", "verdict"], "queue_id IS NOT NULL"),
    "ix_preferences_rule_updated_at_outcome": ("preferences", ["rule", "updated_at", "outcome"], None),
    "ix_snapshot_rows_run_id_snapshot_id": ("snapshot_rows", ["run_id", "snapshot_id"], None),
}

BIN = "CAST(round((pairs.similarity + 1.0) / 0.005 - 0.4999999) AS integer)"
COUNT = f"""
    INSERT INTO run_similarities (run_id, strategy, bin, pairs)
    SELECT pairs.run_id, pairs.strategy, {BIN} AS bin, count(*)
    FROM pairs JOIN runs ON runs.id = pairs.run_id
    WHERE runs.status = 'completed'
    GROUP BY pairs.run_id, pairs.strategy, {BIN}
"""


def upgrade() -> None:
    op.create_table(
        "run_similarities",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(100), nullable=False),
        sa.Column("bin", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_similarities_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "strategy", "bin", name=op.f("pk_run_similarities")),
    )
    op.execute(COUNT)
    for name, (table, columns, condition) in INDEXES.items():
        where = None if condition is None else sa.text(condition)
        op.create_index(op.f(name), table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name, (table, *_) in INDEXES.items():
        op.drop_index(op.f(name), table)
    op.drop_table("run_similarities")
