"""Names of strategies as long as a user's own may be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("pairs") as batch_op:
        batch_op.alter_column("strategy", existing_type=sa.String(20), type_=sa.String(100), existing_nullable=False)


def downgrade() -> None:
    """A longer name is refused by PostgreSQL; its pairs must go first."""
    with op.batch_alter_table("pairs") as batch_op:
        batch_op.alter_column("strategy", existing_type=sa.String(100), type_=sa.String(20), existing_nullable=False)
