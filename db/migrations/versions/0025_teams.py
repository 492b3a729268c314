"""Settings of queues, guidelines, pairs with a known answer, and queues that settle contradictions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_SWITCHES = ("is_closed", "has_strength", "has_comment", "has_editing", "has_stop")
_ADDED = {
    "queues": ("overlap", "seed", "wanted_count", "judged_count", "place", "gold_share", "gold_bar", *_SWITCHES),
    "queue_pairs": ("wanted",),
    "judgements": ("guidelines_version",),
}


def upgrade() -> None:
    _add_columns()
    _count()
    op.create_table(
        "guidelines",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _queue("guidelines", "queue_id"),
        sa.PrimaryKeyConstraint("queue_id", "version", name=op.f("pk_guidelines")),
    )
    _create_gold()
    op.create_table(
        "edits",
        sa.Column("response_id", BIG_ID, nullable=False),
        sa.Column("original_id", BIG_ID, nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _response("edits", "response_id"),
        _response("edits", "original_id"),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_edits_annotator_id_annotators")),
        _queue("edits", "queue_id"),
        sa.PrimaryKeyConstraint("response_id", "original_id", "annotator_id", name=op.f("pk_edits")),
    )
    op.create_index(op.f("ix_edits_original_id"), "edits", ["original_id"])
    op.create_table(
        "adjudications",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("settled_queue_id", sa.Integer(), nullable=False),
        _queue("adjudications", "queue_id"),
        _queue("adjudications", "settled_queue_id"),
        sa.PrimaryKeyConstraint("queue_id", name=op.f("pk_adjudications")),
        sa.UniqueConstraint("settled_queue_id", name=op.f("uq_adjudications_settled_queue_id")),
    )
    op.create_table(
        "adjudicators",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name=op.f("fk_adjudicators_queue_id_queues")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_adjudicators_annotator_id_annotators")
        ),
        sa.PrimaryKeyConstraint("queue_id", "annotator_id", name=op.f("pk_adjudicators")),
    )


def downgrade() -> None:
    for table in ("adjudicators", "adjudications", "edits", "gold_answers", "gold_pairs", "guidelines"):
        op.drop_table(table)
    for table, columns in _ADDED.items():
        for column in columns:
            op.drop_column(table, column)


def _add_columns() -> None:
    op.add_column("queues", sa.Column("overlap", sa.Float(), nullable=False, server_default=sa.text("1")))
    op.add_column("queues", sa.Column("seed", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    for name in ("wanted_count", "judged_count"):
        op.add_column("queues", sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("queues", sa.Column("place", sa.Integer(), nullable=True))
    op.add_column("queues", sa.Column("gold_share", sa.Float(), nullable=False, server_default=sa.text("0")))
    op.add_column("queues", sa.Column("gold_bar", sa.Float(), nullable=True))
    for name in _SWITCHES:
        op.add_column("queues", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("queue_pairs", sa.Column("wanted", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.add_column("judgements", sa.Column("guidelines_version", sa.Integer(), nullable=True))


def _count() -> None:
    """The judgements that queues wanted until now, and how many of them there are."""
    op.execute(
        "UPDATE queue_pairs SET wanted = (SELECT queues.judgements_per_pair FROM queues "
        "WHERE queues.id = queue_pairs.queue_id)"
    )
    op.execute(
        "UPDATE queues SET wanted_count = pair_count * judgements_per_pair, judged_count = COALESCE("
        "(SELECT sum(CASE WHEN queue_pairs.judgement_count < queue_pairs.wanted THEN queue_pairs.judgement_count "
        "ELSE queue_pairs.wanted END) FROM queue_pairs WHERE queue_pairs.queue_id = queues.id), 0)"
    )


def _create_gold() -> None:
    op.create_table(
        "gold_pairs",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.CheckConstraint("first_response_id < second_response_id", name=op.f("ck_gold_pairs_ordered")),
        sa.CheckConstraint("verdict IN ('first', 'second', 'tie', 'both_bad')", name=op.f("ck_gold_pairs_verdict")),
        _queue("gold_pairs", "queue_id"),
        _response("gold_pairs", "first_response_id"),
        _response("gold_pairs", "second_response_id"),
        sa.PrimaryKeyConstraint("queue_id", "first_response_id", "second_response_id", name=op.f("pk_gold_pairs")),
    )
    op.create_table(
        "gold_answers",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("first_response_id", BIG_ID, nullable=False),
        sa.Column("second_response_id", BIG_ID, nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("left_response_id", BIG_ID, nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("guidelines_version", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('first', 'second', 'tie', 'both_bad', 'skip')", name=op.f("ck_gold_answers_verdict")
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_gold_answers_annotator_id_annotators")
        ),
        _queue("gold_answers", "queue_id"),
        *(_response("gold_answers", f"{side}_response_id") for side in ("first", "second", "left")),
        sa.PrimaryKeyConstraint(
            "annotator_id", "first_response_id", "second_response_id", name=op.f("pk_gold_answers")
        ),
    )
    op.create_index(
        op.f("ix_gold_answers_queue_id_annotator_id_created_at"),
        "gold_answers",
        ["queue_id", "annotator_id", "created_at"],
    )


def _queue(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["queues.id"], name=op.f(f"fk_{table}_{column}_queues"))


def _response(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["responses.id"], name=op.f(f"fk_{table}_{column}_responses"))
