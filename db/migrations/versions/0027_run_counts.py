"""What the candidates of completed runs come to, so that a list of runs need not count them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None

COUNTS = (
    "responses",
    "duplicates",
    "empty_responses",
    "truncated_responses",
    "cut_responses",
    "left_out_responses",
)
COUNT = """
    INSERT INTO run_counts (run_id, responses, duplicates, empty_responses, truncated_responses, cut_responses,
                            left_out_responses, tokens)
    SELECT candidates.run_id, count(*), count(candidates.duplicate_of_id),
           sum(CASE WHEN NOT candidates.is_left_out AND embeddings.embedder_id IS NOT NULL
                    AND embeddings.shard IS NULL THEN 1 ELSE 0 END),
           sum(CASE WHEN NOT candidates.is_left_out AND embeddings.is_truncated THEN 1 ELSE 0 END),
           sum(CASE WHEN responses.finish_reason = 'length' THEN 1 ELSE 0 END),
           sum(CASE WHEN candidates.is_left_out THEN 1 ELSE 0 END),
           sum(responses.token_count)
    FROM runs
    CROSS JOIN candidates
    JOIN responses ON responses.id = candidates.response_id
    LEFT JOIN embeddings ON embeddings.embedder_id = runs.embedder_id
        AND embeddings.response_id = candidates.response_id
    WHERE candidates.run_id = runs.id AND runs.status = 'completed'
    GROUP BY candidates.run_id
"""


def upgrade() -> None:
    op.create_table(
        "run_counts",
        sa.Column("run_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_counts_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_counts")),
    )
    op.execute(COUNT)


def downgrade() -> None:
    op.drop_table("run_counts")
