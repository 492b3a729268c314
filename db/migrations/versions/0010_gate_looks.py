"""The looks at the gate's opponents; what was compared before counts, in the order in which it was finished."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.evaluation.gate import judged
from models.intervals import Interval

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# A look that was taken stays taken. On SQLite an insert that replaces deletes without a trigger.
_REFUSED = "gate looks never change"
_SQLITE_TRIGGERS = [
    f"CREATE TRIGGER gate_looks_no_{name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    for name, when in (
        ("update", "UPDATE ON gate_looks"),
        ("delete", "DELETE ON gate_looks"),
        (
            "replace",
            "INSERT ON gate_looks WHEN EXISTS (SELECT 1 FROM gate_looks WHERE id = NEW.id "
            "OR opponent = NEW.opponent AND number = NEW.number)",
        ),
    )
]
_POSTGRESQL_TRIGGERS = [
    "CREATE FUNCTION gate_looks_never_change() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
    *(
        f"CREATE TRIGGER gate_looks_no_{name} BEFORE {actions} ON gate_looks "
        f"FOR EACH {each} EXECUTE FUNCTION gate_looks_never_change()"
        for name, actions, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT"))
    ),
]


def upgrade() -> None:
    table = op.create_table(
        "gate_looks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("opponent", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("comparison", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name=op.f("fk_gate_looks_evaluation_id_evaluations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_looks")),
        sa.UniqueConstraint("opponent", "number", name=op.f("uq_gate_looks_opponent_number")),
    )
    op.create_index("ix_gate_looks_evaluation_id", "gate_looks", ["evaluation_id"])
    if rows := _looks_so_far():
        op.bulk_insert(table, rows)
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE_TRIGGERS if is_sqlite else _POSTGRESQL_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("gate_looks")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION gate_looks_never_change")


def _looks_so_far() -> list[dict[str, object]]:
    """One look for each comparison that was finished; earlier figures of one that grew are not known any more."""
    table = sa.table(
        "evaluations", sa.column("id"), sa.column("baseline_id"), sa.column("baseline_model"),
        sa.column("metrics", JSON), sa.column("finished_at", sa.DateTime(timezone=True)),
    )  # fmt: skip
    query = sa.select(table).where(table.c.finished_at.is_not(None)).order_by(table.c.finished_at, table.c.id)
    taken: Counter[str] = Counter()
    rows: list[dict[str, object]] = []
    for evaluation in op.get_bind().execute(query):
        comparison = (evaluation.metrics or {}).get("comparison")
        if comparison is None:
            continue
        opponent = evaluation.baseline_model or f"policy:{evaluation.baseline_id}"
        taken[opponent] += 1
        look = judged(taken[opponent], Interval(*comparison["rate"]), comparison["prompt_count"])
        rows.append({
            "opponent": opponent, "number": look.number, "evaluation_id": evaluation.id, "level": look.level,
            "low": look.low, "high": look.high, "comparison": comparison, "created_at": evaluation.finished_at,
        })  # fmt: skip
    return rows
