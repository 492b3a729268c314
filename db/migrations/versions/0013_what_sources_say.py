"""A row's source may make several pairs, by several criteria, tie them and grade them; responses have ratings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_KEY_BEFORE = ["source_id", "row_number"]
_KEY = [*_KEY_BEFORE, "first_response_id", "second_response_id", "criterion"]


def upgrade() -> None:
    op.add_column(
        "responses",
        sa.Column(
            "ratings",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=True,
        ),
    )
    op.add_column("responses", sa.Column("is_desirable", sa.Boolean(), nullable=True))
    with op.batch_alter_table("source_pairs") as batch:
        batch.add_column(sa.Column("criterion", sa.String(length=40), nullable=False, server_default=""))
        batch.add_column(sa.Column("strength", sa.Float(), nullable=True))
        batch.drop_constraint(op.f("pk_source_pairs"), type_="primary")
        batch.create_primary_key(op.f("pk_source_pairs"), _KEY)


def downgrade() -> None:
    """Of several pairs of a row the one of the lowest ids stays; ties are no preference."""
    op.execute("DELETE FROM source_pairs WHERE criterion <> ''")
    op.execute(
        "DELETE FROM source_pairs WHERE EXISTS (SELECT 1 FROM source_pairs AS other "
        "WHERE other.source_id = source_pairs.source_id AND other.row_number = source_pairs.row_number "
        "AND (other.first_response_id < source_pairs.first_response_id "
        "OR other.first_response_id = source_pairs.first_response_id "
        "AND other.second_response_id < source_pairs.second_response_id))"
    )
    op.execute("UPDATE source_pairs SET preferred = NULL WHERE preferred IN ('tie', 'both_bad')")
    with op.batch_alter_table("source_pairs") as batch:
        batch.drop_constraint(op.f("pk_source_pairs"), type_="primary")
        batch.create_primary_key(op.f("pk_source_pairs"), _KEY_BEFORE)
        batch.drop_column("strength")
        batch.drop_column("criterion")
    op.drop_column("responses", "is_desirable")
    op.drop_column("responses", "ratings")
