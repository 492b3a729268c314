"""How many prompts, candidates and pairs completed runs have, so that a list of runs need not count them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

COUNTS = (
    "prompts",
    "skipped_prompts",
    "responses",
    "duplicates",
    "empty_responses",
    "truncated_responses",
    "cut_responses",
    "left_out_responses",
    "pairs",
)
COUNT = """
    INSERT INTO run_counts (run_id, prompts, skipped_prompts, responses, duplicates, empty_responses,
                            truncated_responses, cut_responses, left_out_responses, pairs, tokens)
    SELECT counted.id AS run_id,
           (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = counted.id) AS prompts,
           (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = counted.id AND run_prompts.skipped IS NOT NULL)
               AS skipped_prompts,
           COALESCE(found.responses, 0) AS responses, COALESCE(found.duplicates, 0) AS duplicates,
           COALESCE(found.empty_responses, 0) AS empty_responses,
           COALESCE(found.truncated_responses, 0) AS truncated_responses,
           COALESCE(found.cut_responses, 0) AS cut_responses,
           COALESCE(found.left_out_responses, 0) AS left_out_responses,
           (SELECT count(*) FROM pairs WHERE pairs.run_id = counted.id) AS pairs, found.tokens
    FROM runs AS counted
    LEFT JOIN (
        SELECT candidates.run_id, count(*) AS responses, count(candidates.duplicate_of_id) AS duplicates,
               sum(CASE WHEN NOT candidates.is_left_out AND embeddings.embedder_id IS NOT NULL
                        AND embeddings.shard IS NULL THEN 1 ELSE 0 END) AS empty_responses,
               sum(CASE WHEN NOT candidates.is_left_out AND embeddings.is_truncated THEN 1 ELSE 0 END)
                   AS truncated_responses,
               sum(CASE WHEN responses.finish_reason = 'length' THEN 1 ELSE 0 END) AS cut_responses,
               sum(CASE WHEN candidates.is_left_out THEN 1 ELSE 0 END) AS left_out_responses,
               sum(responses.token_count) AS tokens
        FROM runs AS counted
        CROSS JOIN candidates
        JOIN responses ON responses.id = candidates.response_id
        LEFT JOIN embeddings ON embeddings.embedder_id = counted.embedder_id
            AND embeddings.response_id = candidates.response_id
        WHERE candidates.run_id = counted.id AND counted.status = 'completed'
        GROUP BY candidates.run_id
    ) AS found ON found.run_id = counted.id
    WHERE counted.status = 'completed'
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
