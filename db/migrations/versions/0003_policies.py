"""Policies: trainings and their metrics, reference log-probabilities, latent distances, evaluations, promotions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Which policy was in use when must stay what it was. On SQLite an insert that replaces deletes without a trigger.
_REFUSED = "promotions never change"
_SQLITE_TRIGGERS = [
    f"CREATE TRIGGER promotions_no_{name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    for name, when in (
        ("update", "UPDATE ON promotions"),
        ("delete", "DELETE ON promotions"),
        ("replace", "INSERT ON promotions WHEN EXISTS (SELECT 1 FROM promotions WHERE id = NEW.id)"),
    )
]
_POSTGRESQL_TRIGGERS = [
    "CREATE FUNCTION promotions_never_change() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
    *(
        f"CREATE TRIGGER promotions_no_{name} BEFORE {actions} ON promotions "
        f"FOR EACH {each} EXECUTE FUNCTION promotions_never_change()"
        for name, actions, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT"))
    ),
]


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("start_model", sa.Text(), nullable=False),
        sa.Column("start_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("snapshot_id", sa.Integer(), nullable=True),
        sa.Column("data_hash", sa.String(length=64), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("code_version", sa.String(length=80), nullable=False),
        sa.Column("library_versions", JSON, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("metrics", JSON, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('training', 'trained', 'failed')", name=op.f("ck_policies_status")),
        sa.ForeignKeyConstraint(["parent_id"], ["policies.id"], name=op.f("fk_policies_parent_id_policies")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_policies_run_id_runs")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_policies_snapshot_id_snapshots")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
        sa.UniqueConstraint("key", name=op.f("uq_policies_key")),
    )
    op.create_index("ix_policies_run_id", "policies", ["run_id"])
    op.create_table(
        "training_metrics",
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=10), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name=op.f("fk_training_metrics_policy_id_policies")),
        sa.PrimaryKeyConstraint("policy_id", "split", "step", "name", name=op.f("pk_training_metrics")),
    )
    op.create_table(
        "response_logps",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("logps", sa.Float(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_response_logps")),
    )
    op.create_table(
        "latent_distances",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("golden_response_id", BIG_ID, nullable=False),
        sa.Column("sampled_response_id", BIG_ID, nullable=False),
        sa.Column("prompt_id", BIG_ID, nullable=False),
        sa.Column("distance", sa.Float(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["golden_response_id"], ["responses.id"], name=op.f("fk_latent_distances_golden_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_latent_distances_prompt_id_prompts")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_latent_distances_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["sampled_response_id"], ["responses.id"], name=op.f("fk_latent_distances_sampled_response_id_responses")
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "round", "golden_response_id", "sampled_response_id", name=op.f("pk_latent_distances")
        ),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("baseline_id", sa.Integer(), nullable=True),
        sa.Column("baseline_model", sa.Text(), nullable=True),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("metrics", JSON, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(baseline_id IS NULL) <> (baseline_model IS NULL)", name=op.f("ck_evaluations_one_baseline")
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_evaluations_annotator_id_annotators")
        ),
        sa.ForeignKeyConstraint(["baseline_id"], ["policies.id"], name=op.f("fk_evaluations_baseline_id_policies")),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name=op.f("fk_evaluations_policy_id_policies")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_evaluations_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("key", name=op.f("uq_evaluations_key")),
    )
    op.create_index("ix_evaluations_policy_id", "evaluations", ["policy_id"])
    op.create_table(
        "evaluation_pairs",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("policy_response_id", BIG_ID, nullable=False),
        sa.Column("baseline_response_id", BIG_ID, nullable=False),
        sa.Column("prompt_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_response_id"], ["responses.id"], name=op.f("fk_evaluation_pairs_baseline_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name=op.f("fk_evaluation_pairs_evaluation_id_evaluations")
        ),
        sa.ForeignKeyConstraint(
            ["policy_response_id"], ["responses.id"], name=op.f("fk_evaluation_pairs_policy_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_evaluation_pairs_prompt_id_prompts")),
        sa.PrimaryKeyConstraint(
            "evaluation_id", "policy_response_id", "baseline_response_id", name=op.f("pk_evaluation_pairs")
        ),
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=True),
        sa.Column("previous_id", sa.Integer(), nullable=True),
        sa.Column("evaluation_id", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("is_forced", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("action IN ('promote', 'rollback')", name=op.f("ck_promotions_action")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name=op.f("fk_promotions_evaluation_id_evaluations")
        ),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name=op.f("fk_promotions_policy_id_policies")),
        sa.ForeignKeyConstraint(["previous_id"], ["policies.id"], name=op.f("fk_promotions_previous_id_policies")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE_TRIGGERS if is_sqlite else _POSTGRESQL_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "promotions", "evaluation_pairs", "evaluations", "latent_distances", "response_logps", "training_metrics",
        "policies",
    ):  # fmt: skip
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION promotions_never_change")
