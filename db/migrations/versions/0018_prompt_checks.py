"""Nearly the same prompts, prompts of benchmarks, pairs that are labelled already, nearly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _response(table: str, column: str, *, nullable: bool = False) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    name = op.f(f"fk_{table}_{column}_responses")
    return sa.Column(column, _ID, nullable=nullable), sa.ForeignKeyConstraint([column], ["responses.id"], name=name)


def upgrade() -> None:
    op.add_column("runs", sa.Column("has_checked_prompts", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("run_prompts", sa.Column("group_id", _ID, nullable=True))
    op.add_column("run_prompts", sa.Column("left_out", sa.Text(), nullable=True))
    op.create_table(
        "contaminations",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", _ID, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        *_response("contaminations", "response_id", nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_contaminations_run_id_runs")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_contaminations_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("run_id", "prompt_id", "kind", "file", name=op.f("pk_contaminations")),
    )
    op.create_table(
        "labelled_alike",
        sa.Column("run_id", sa.Integer(), nullable=False),
        *_response("labelled_alike", "first_response_id"),
        *_response("labelled_alike", "second_response_id"),
        sa.Column("prompt_id", _ID, nullable=False),
        *_response("labelled_alike", "labelled_first_id"),
        *_response("labelled_alike", "labelled_second_id"),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.Column("is_left_out", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_labelled_alike_run_id_runs")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_labelled_alike_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("run_id", "first_response_id", "second_response_id", name=op.f("pk_labelled_alike")),
    )


def downgrade() -> None:
    op.drop_table("labelled_alike")
    op.drop_table("contaminations")
    op.drop_column("run_prompts", "left_out")
    op.drop_column("run_prompts", "group_id")
    op.drop_column("runs", "has_checked_prompts")
