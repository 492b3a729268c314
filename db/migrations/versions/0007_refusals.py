"""What a judge's server refused was stored as skips, which no later run asked about again: they go."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "DELETE FROM judgements WHERE verdict = 'skip' AND raw_reply LIKE 'the server %' "
        "AND annotator_id IN (SELECT id FROM annotators WHERE kind = 'judge')"
    )


def downgrade() -> None:
    """What is gone is asked about again."""
