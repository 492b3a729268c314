"""Where the vectors of prompts lie; of prompts embedded before there is none, and the next run makes it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "prompt_embeddings",
        sa.Column("embedder_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", _BIG_ID, nullable=False),
        sa.Column("shard", sa.String(80), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("is_truncated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["embedder_id"], ["embedders.id"], name=op.f("fk_prompt_embeddings_embedder_id_embedders")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_prompt_embeddings_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("embedder_id", "prompt_id", name=op.f("pk_prompt_embeddings")),
    )


def downgrade() -> None:
    op.drop_table("prompt_embeddings")
