"""Indexes of the labels that few pairs have: what annotators disagree on, and what none of two responses won."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_pairs_disputed": (["id"], "support < 1"),
    "ix_pairs_undecided": (["outcome", "id"], "outcome NOT IN ('first', 'second')"),
}


def upgrade() -> None:
    for name, (columns, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(op.f(name), "pairs", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(op.f(name), "pairs")
