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

# What trainers were given must stay what it was: snapshots, their rows, and the texts that the rows name.
_TEXTS = {"responses": "text", "prompts": "messages"}
_KNOWN_ROW = "EXISTS (SELECT 1 FROM snapshot_rows WHERE snapshot_id = NEW.snapshot_id AND position = NEW.position)"
_LATE_ROW = f"NEW.position >= (SELECT row_count FROM snapshots WHERE id = NEW.snapshot_id) OR {_KNOWN_ROW}"
_REFUSED = "{} never change"
_SNAPSHOTS = ("snapshots", "snapshot_rows")


def _sqlite_triggers() -> list[str]:
    """On SQLite an insert that replaces deletes without a trigger: known rows are refused before."""
    refuse = "BEGIN SELECT RAISE(ABORT, '{}'); END"
    snapshots, texts = refuse.format(_REFUSED.format("snapshots")), refuse.format(_REFUSED.format("texts"))
    known_snapshot = "EXISTS (SELECT 1 FROM snapshots WHERE id = NEW.id OR key = NEW.key)"
    return [
        *(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} {snapshots}"
            for table in _SNAPSHOTS
            for action in ("UPDATE", "DELETE")
        ),
        f"CREATE TRIGGER snapshots_no_replace BEFORE INSERT ON snapshots WHEN {known_snapshot} {snapshots}",
        f"CREATE TRIGGER snapshot_rows_no_late BEFORE INSERT ON snapshot_rows WHEN {_LATE_ROW} {snapshots}",
        *(
            f"CREATE TRIGGER {table}_no_new_{column} BEFORE UPDATE OF {column} ON {table} {texts}"
            for table, column in _TEXTS.items()
        ),
    ]


def _postgresql_triggers() -> list[str]:
    function = "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$"
    refuse = f"RAISE EXCEPTION '{_REFUSED}';"
    return [
        function.format("snapshots_never_change", refuse.format("snapshots")),
        function.format("texts_never_change", refuse.format("texts")),
        function.format(
            "snapshot_rows_in_time", f"IF {_LATE_ROW} THEN {refuse.format('snapshots')} END IF; RETURN NEW;"
        ),
        "CREATE TRIGGER snapshot_rows_no_late BEFORE INSERT ON snapshot_rows "
        "FOR EACH ROW EXECUTE FUNCTION snapshot_rows_in_time()",
        *(
            f"CREATE TRIGGER {table}_no_{name} BEFORE {actions} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION snapshots_never_change()"
            for table in _SNAPSHOTS
            for name, actions, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT"))
        ),
        *(
            f"CREATE TRIGGER {table}_no_new_{column} BEFORE UPDATE OF {column} ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION texts_never_change()"
            for table, column in _TEXTS.items()
        ),
    ]


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
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("query", JSON, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sa.UniqueConstraint("key", name=op.f("uq_snapshots_key")),
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
    op.create_index("ix_snapshots_content_hash", "snapshots", ["content_hash"])
    op.create_index("ix_judgements_run_id", "judgements", ["run_id"])
    for table in ("pairs", "source_pairs"):
        index = f"ix_{table}_first_response_id_second_response_id"
        op.create_index(index, table, ["first_response_id", "second_response_id"])
    op.add_column("runs", sa.Column("kind", sa.String(length=20), server_default="curate", nullable=False))
    op.add_column("runs", sa.Column("labelled_run_id", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("annotator_id", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("requests", sa.Integer(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("cost", sa.Float(), server_default="0", nullable=False))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.execute(statement)


def downgrade() -> None:
    for table, column in _TEXTS.items():
        on = "" if op.get_bind().dialect.name == "sqlite" else f" ON {table}"
        op.execute(f"DROP TRIGGER {table}_no_new_{column}{on}")
    for table in ("pairs", "source_pairs"):
        op.drop_index(f"ix_{table}_first_response_id_second_response_id", table)
    for column in ("cost", "requests", "annotator_id", "labelled_run_id"):
        op.drop_column("runs", column)
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
        op.execute("DROP FUNCTION texts_never_change")
