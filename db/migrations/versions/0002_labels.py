"""Labels: annotators, judgements, preferences, queues for people, snapshots that never change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_REFUSED = "a snapshot never changes"
_LATE_ROW = "NEW.position >= (SELECT row_count FROM snapshots WHERE id = NEW.snapshot_id)"
SNAPSHOTS_NEVER_CHANGE = {
    "sqlite": [
        f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        for table in ("snapshots", "snapshot_rows")
        for action in ("UPDATE", "DELETE")
    ]
    + [
        f"CREATE TRIGGER snapshot_rows_no_late BEFORE INSERT ON snapshot_rows WHEN {_LATE_ROW} "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION snapshots_never_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
        "CREATE FUNCTION snapshot_rows_in_time() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {_LATE_ROW} THEN RAISE EXCEPTION '{_REFUSED}'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER snapshot_rows_no_late BEFORE INSERT ON snapshot_rows "
        "FOR EACH ROW EXECUTE FUNCTION snapshot_rows_in_time()",
    ]
    + [
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION snapshots_never_change()"
        for table in ("snapshots", "snapshot_rows")
    ],
}


def upgrade() -> None:
    op.create_table(
        "annotators",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("has_both_orders", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotators")),
        sa.UniqueConstraint("key", name=op.f("uq_annotators_key")),
    )
    op.create_table(
        "queues",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("judgements_per_pair", sa.Integer(), nullable=False),
        sa.Column("pair_count", sa.Integer(), nullable=False),
        sa.Column("done_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queues")),
        sa.UniqueConstraint("key", name=op.f("uq_queues_key")),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("query", JSON, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sa.UniqueConstraint("content_hash", name=op.f("uq_snapshots_content_hash")),
    )
    op.create_table(
        "queue_members",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_queue_members_annotator_id_annotators")
        ),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name=op.f("fk_queue_members_queue_id_queues")),
        sa.PrimaryKeyConstraint("queue_id", "annotator_id", name=op.f("pk_queue_members")),
    )
    op.create_table(
        "judgements",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("left_response_id", BIG_ID, nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("margin", sa.Float(), nullable=True),
        sa.Column("rationale", sa.Text(), nullable=True),
        sa.Column("raw_reply", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("queue_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('first', 'second', 'tie', 'both_bad', 'skip', 'unparsed')", name=op.f("ck_judgements_verdict")
        ),
        sa.CheckConstraint("first_response_id < second_response_id", name=op.f("ck_judgements_ordered")),
        sa.CheckConstraint(
            "left_response_id IN (first_response_id, second_response_id)",
            name=op.f("ck_judgements_left_is_of_the_pair"),
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_judgements_annotator_id_annotators")
        ),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_judgements_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["left_response_id"], ["responses.id"], name=op.f("fk_judgements_left_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name=op.f("fk_judgements_queue_id_queues")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_judgements_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_judgements_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.UniqueConstraint(
            "first_response_id", "second_response_id", "annotator_id", "left_response_id", name="uq_judgements_showing"
        ),
    )
    op.create_index("ix_judgements_annotator_id_id", "judgements", ["annotator_id", "id"], unique=False)

    op.create_table(
        "leases",
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("left_response_id", BIG_ID, nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_leases_annotator_id_annotators")),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_leases_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["left_response_id"], ["responses.id"], name=op.f("fk_leases_left_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name=op.f("fk_leases_queue_id_queues")),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_leases_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("first_response_id", "second_response_id", name=op.f("pk_leases")),
        sa.UniqueConstraint("queue_id", "annotator_id", name=op.f("uq_leases_queue_id_annotator_id")),
    )
    op.create_table(
        "preferences",
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("support", sa.Float(), nullable=False),
        sa.Column("vote_count", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('first', 'second', 'tie', 'both_bad', 'contradiction')", name=op.f("ck_preferences_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_preferences_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_preferences_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("rule", "first_response_id", "second_response_id", name=op.f("pk_preferences")),
    )
    op.create_table(
        "queue_pairs",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("judgement_count", sa.Integer(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["first_response_id"], ["responses.id"], name=op.f("fk_queue_pairs_first_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name=op.f("fk_queue_pairs_queue_id_queues")),
        sa.ForeignKeyConstraint(
            ["second_response_id"], ["responses.id"], name=op.f("fk_queue_pairs_second_response_id_responses")
        ),
        sa.PrimaryKeyConstraint("queue_id", "position", name=op.f("pk_queue_pairs")),
        sa.UniqueConstraint(
            "queue_id",
            "first_response_id",
            "second_response_id",
            name=op.f("uq_queue_pairs_queue_id_first_response_id_second_response_id"),
        ),
    )
    op.create_index(
        "ix_queue_pairs_open",
        "queue_pairs",
        ["queue_id", "position"],
        unique=False,
        sqlite_where=sa.text("is_done = 0"),
        postgresql_where=sa.text("NOT is_done"),
    )

    op.create_table(
        "replies",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_replies_run_id_runs")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_replies")),
    )
    op.create_index("ix_replies_run_id", "replies", ["run_id"], unique=False)

    op.create_table(
        "snapshot_rows",
        sa.Column("snapshot_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt_id", BIG_ID, nullable=False),
        sa.Column("chosen_response_id", BIG_ID, nullable=False),
        sa.Column("rejected_response_id", BIG_ID, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("strategies", JSON, nullable=False),
        sa.Column("similarity", sa.Float(), nullable=True),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("support", sa.Float(), nullable=False),
        sa.Column("vote_count", sa.Integer(), nullable=False),
        sa.Column("split", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["chosen_response_id"], ["responses.id"], name=op.f("fk_snapshot_rows_chosen_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_snapshot_rows_prompt_id_prompts")),
        sa.ForeignKeyConstraint(
            ["rejected_response_id"], ["responses.id"], name=op.f("fk_snapshot_rows_rejected_response_id_responses")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_snapshot_rows_run_id_runs")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name=op.f("fk_snapshot_rows_snapshot_id_snapshots")),
        sa.PrimaryKeyConstraint("snapshot_id", "position", name=op.f("pk_snapshot_rows")),
    )
    op.create_index("ix_judgements_run_id", "judgements", ["run_id"])
    for table in ("pairs", "source_pairs"):
        index = f"ix_{table}_first_response_id_second_response_id"
        op.create_index(index, table, ["first_response_id", "second_response_id"])
    op.add_column("runs", sa.Column("kind", sa.String(length=20), server_default="curate", nullable=False))
    op.add_column("runs", sa.Column("labelled_run_id", sa.Integer(), nullable=True))
    for statement in SNAPSHOTS_NEVER_CHANGE[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("pairs", "source_pairs"):
        op.drop_index(f"ix_{table}_first_response_id_second_response_id", table)
    op.drop_column("runs", "labelled_run_id")
    op.drop_column("runs", "kind")
    op.drop_table("snapshot_rows")
    op.drop_table("replies")

    op.drop_table("queue_pairs")
    op.drop_table("preferences")
    op.drop_table("leases")
    op.drop_table("judgements")
    op.drop_table("queue_members")
    op.drop_table("snapshots")
    op.drop_table("queues")
    op.drop_table("annotators")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION snapshots_never_change")
        op.execute("DROP FUNCTION snapshot_rows_in_time")
