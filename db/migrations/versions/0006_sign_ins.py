"""People sign in by links that expire and can be taken back; a pair may lie before several people of one queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
RESPONSES = ("first_response_id", "second_response_id", "left_response_id")


def upgrade() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_revoked", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_sign_ins_annotator_id_annotators")),
        sa.PrimaryKeyConstraint("annotator_id", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sign_ins_token_hash")),
    )
    _make_leases_anew(sa.PrimaryKeyConstraint("queue_id", "annotator_id", name=op.f("pk_leases")))
    op.create_index("ix_leases_pair", "leases", RESPONSES[:2])


def downgrade() -> None:
    # One person a pair again: all but one are given another.
    op.execute(
        "DELETE FROM leases WHERE EXISTS (SELECT 1 FROM leases AS other WHERE other.first_response_id = "
        "leases.first_response_id AND other.second_response_id = leases.second_response_id AND (other.queue_id, "
        "other.annotator_id) < (leases.queue_id, leases.annotator_id))"
    )
    _make_leases_anew(
        sa.PrimaryKeyConstraint(*RESPONSES[:2], name=op.f("pk_leases")),
        sa.UniqueConstraint("queue_id", "annotator_id", name=op.f("uq_leases_queue_id_annotator_id")),
    )
    op.drop_table("sign_ins")


def _make_leases_anew(*keys: sa.Constraint) -> None:
    """The table with other keys, and the same rows: whoever has a pair before them keeps it."""
    columns = ", ".join((*RESPONSES, "queue_id", "annotator_id", "shown_at", "expires_at"))
    op.execute(f"CREATE TEMPORARY TABLE old_leases AS SELECT {columns} FROM leases")
    op.drop_table("leases")
    op.create_table(
        "leases",
        *(sa.Column(name, BIG_ID, nullable=False) for name in RESPONSES),
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_leases_annotator_id_annotators")),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"], name=op.f("fk_leases_queue_id_queues")),
        *(
            sa.ForeignKeyConstraint([name], ["responses.id"], name=op.f(f"fk_leases_{name}_responses"))
            for name in RESPONSES
        ),
        *keys,
    )
    op.execute(f"INSERT INTO leases ({columns}) SELECT {columns} FROM old_leases")
    op.execute("DROP TABLE old_leases")
