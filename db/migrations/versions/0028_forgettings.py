"""What was forgotten and is not wholly gone; a look at an opponent outlives the policy that was looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_TRIGGERS = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'gate_looks' ORDER BY name"


def upgrade() -> None:
    op.create_table(
        "forgettings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("paths", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgettings")),
    )
    op.add_column("guide_checks", sa.Column("folder", sa.Text(), nullable=True))
    _set_nullable(True)


def downgrade() -> None:
    """Looks whose evaluation is forgotten have no place in the version before."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    switch = None if is_sqlite else "ALTER TABLE gate_looks {} TRIGGER USER"
    triggers = op.get_bind().scalars(sa.text(_TRIGGERS)).all() if is_sqlite else []
    for name in ("update", "delete", "replace") if is_sqlite else ():
        op.execute(f"DROP TRIGGER gate_looks_no_{name}")
    if switch:
        op.execute(switch.format("DISABLE"))
    op.execute("DELETE FROM gate_looks WHERE evaluation_id IS NULL")
    if switch:
        op.execute(switch.format("ENABLE"))
    for statement in triggers:
        op.execute(statement)
    _set_nullable(False)
    with op.batch_alter_table("guide_checks") as batch_op:
        batch_op.drop_column("folder")
    op.drop_table("forgettings")


def _set_nullable(is_nullable: bool) -> None:
    """SQLite makes the table anew for it, and would lose its triggers."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    triggers = op.get_bind().scalars(sa.text(_TRIGGERS)).all() if is_sqlite else []
    with op.batch_alter_table("gate_looks") as batch_op:
        batch_op.alter_column("evaluation_id", existing_type=sa.Integer(), nullable=is_nullable)
    for statement in triggers:
        op.execute(statement)
