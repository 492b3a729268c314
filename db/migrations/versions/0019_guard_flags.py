"""What the guard finds in candidates. Earlier curations had none, and their stored configurations say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_runs = sa.table("runs", sa.column("id"), sa.column("kind"), sa.column("config", _JSON))


def upgrade() -> None:
    op.create_table(
        "guard_flags",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("response_id", _ID, nullable=False),
        sa.Column("prompt_id", _ID, nullable=False),
        sa.Column("rule", sa.String(20), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("is_left_out", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_guard_flags_run_id_runs")),
        sa.ForeignKeyConstraint(["response_id"], ["responses.id"], name=op.f("fk_guard_flags_response_id_responses")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_guard_flags_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("run_id", "response_id", "rule", name=op.f("pk_guard_flags")),
    )
    _change_curations(lambda config: {"guard": {"none": True}} | config)


def downgrade() -> None:
    _change_curations(lambda config: {name: value for name, value in config.items() if name != "guard"})
    op.drop_table("guard_flags")


def _change_curations(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the stored configurations of curations."""
    connection = op.get_bind()
    curations = sa.select(_runs.c.id, _runs.c.config).where(_runs.c.kind == "curate")
    for run_id, config in connection.execute(curations).all():
        if "select" in config:
            connection.execute(sa.update(_runs).where(_runs.c.id == run_id).values({"config": change(config)}))
