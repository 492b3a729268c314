"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("backend", sa.String(length=40), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedders")),
        sa.UniqueConstraint("key", name=op.f("uq_embedders_key")),
    )
    op.create_table(
        "generators",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("backend", sa.String(length=40), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("parameters", JSON, nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("dtype", sa.String(length=20), nullable=True),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generators")),
        sa.UniqueConstraint("key", name=op.f("uq_generators_key")),
    )
    op.create_table(
        "prompts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("messages", JSON, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
        sa.UniqueConstraint("key", name=op.f("uq_prompts_key")),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("format", sa.String(length=40), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", "content_hash", name=op.f("uq_sources_name_content_hash")),
    )
    op.create_table(
        "responses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("prompt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("generator_id", sa.Integer(), nullable=False),
        sa.Column("sample_index", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("token_count", sa.Integer(), nullable=True),
        sa.Column("finish_reason", sa.String(length=20), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("is_reference", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["generator_id"], ["generators.id"], name=op.f("fk_responses_generator_id_generators")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_responses_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_responses")),
        sa.UniqueConstraint("key", name=op.f("uq_responses_key")),
    )
    with op.batch_alter_table("responses", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_responses_prompt_id_generator_id"), ["prompt_id", "generator_id"], unique=False
        )

    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("config_key", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("code_version", sa.String(length=80), nullable=False),
        sa.Column("embedder_id", sa.Integer(), nullable=True),
        sa.Column("has_fixed_candidates", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["embedder_id"], ["embedders.id"], name=op.f("fk_runs_embedder_id_embedders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index(
            "uq_runs_unfinished_config_key",
            ["config_key"],
            unique=True,
            sqlite_where=sa.text("status <> 'completed'"),
            postgresql_where=sa.text("status <> 'completed'"),
        )

    op.create_table(
        "source_rows",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("split", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_source_rows_prompt_id_prompts")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_rows_source_id_sources")),
        sa.PrimaryKeyConstraint("source_id", "row_number", name=op.f("pk_source_rows")),
    )
    with op.batch_alter_table("source_rows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_source_rows_prompt_id"), ["prompt_id"], unique=False)

    op.create_table(
        "candidates",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("prompt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("duplicate_of_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["duplicate_of_id"], ["responses.id"], name=op.f("fk_candidates_duplicate_of_id_responses")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_candidates_prompt_id_prompts")),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name=op.f("fk_candidates_response_id_responses")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_candidates_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "response_id", name=op.f("pk_candidates")),
    )
    with op.batch_alter_table("candidates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_candidates_run_id_prompt_id"), ["run_id", "prompt_id"], unique=False)

    op.create_table(
        "embeddings",
        sa.Column("embedder_id", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("shard", sa.String(length=80), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("is_truncated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["embedder_id"], ["embedders.id"], name=op.f("fk_embeddings_embedder_id_embedders")),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name=op.f("fk_embeddings_response_id_responses")),
        sa.PrimaryKeyConstraint("embedder_id", "response_id", name=op.f("pk_embeddings")),
    )
    op.create_table(
        "pairs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(length=20), nullable=False),
        sa.Column("prompt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("first_response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("second_response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("pair_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_pairs_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_pairs_prompt_id_prompts")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_pairs_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_pairs_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pairs")),
        sa.UniqueConstraint(
            "run_id",
            "strategy",
            "first_response_id",
            "second_response_id",
            name=op.f("uq_pairs_run_id_strategy_first_response_id_second_response_id"),
        ),
    )
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pairs_prompt_id"), ["prompt_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_pairs_run_id_strategy_prompt_id_id"), ["run_id", "strategy", "prompt_id", "id"], unique=False
        )

    op.create_table(
        "run_prompts",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_run_prompts_prompt_id_prompts")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_prompts_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "prompt_id", name=op.f("pk_run_prompts")),
    )
    op.create_table(
        "source_pairs",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("first_response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("second_response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("preferred", sa.String(length=10), nullable=True),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_source_pairs_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_source_pairs_second_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_pairs_source_id_sources")),
        sa.PrimaryKeyConstraint("source_id", "row_number", name=op.f("pk_source_pairs")),
    )
    op.create_table(
        "source_responses",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["response_id"], ["responses.id"], name=op.f("fk_source_responses_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["source_id", "row_number"],
            ["source_rows.source_id", "source_rows.row_number"],
            name=op.f("fk_source_responses_source_id_source_rows"),
        ),
        sa.PrimaryKeyConstraint("source_id", "row_number", "response_id", name=op.f("pk_source_responses")),
    )
    with op.batch_alter_table("source_responses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_source_responses_response_id"), ["response_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("source_responses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_source_responses_response_id"))

    op.drop_table("source_responses")
    op.drop_table("source_pairs")
    op.drop_table("run_prompts")
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pairs_run_id_strategy_prompt_id_id"))
        batch_op.drop_index(batch_op.f("ix_pairs_prompt_id"))

    op.drop_table("pairs")
    op.drop_table("embeddings")
    with op.batch_alter_table("candidates", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_candidates_run_id_prompt_id"))

    op.drop_table("candidates")
    with op.batch_alter_table("source_rows", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_source_rows_prompt_id"))

    op.drop_table("source_rows")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_runs_unfinished_config_key",
            sqlite_where=sa.text("status <> 'completed'"),
            postgresql_where=sa.text("status <> 'completed'"),
        )

    op.drop_table("runs")
    with op.batch_alter_table("responses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_responses_prompt_id_generator_id"))

    op.drop_table("responses")
    op.drop_table("sources")
    op.drop_table("prompts")
    op.drop_table("generators")
    op.drop_table("embedders")
