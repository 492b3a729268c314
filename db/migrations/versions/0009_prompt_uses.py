"""A ledger of what runs train on and what they hold out; prompts know which dialogues begin as they do.

Runs of before get their rows by the rule that held then: a split of one of five names, or the hash of the whole prompt.
What such a run was trained on is not known where its configuration does not say it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.records import content_key

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PAGE = 5_000
HELD_OUT_SPLITS = ("test", "validation", "valid", "val", "dev")
HASH_DIGITS = 16

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_prompts = sa.table(
    "prompts", sa.column("id"), sa.column("key"), sa.column("messages", _JSON), sa.column("first_turn_key")
)
_runs = sa.table("runs", sa.column("id"), sa.column("kind"), sa.column("config", _JSON))
_run_prompts = sa.table("run_prompts", sa.column("run_id"), sa.column("prompt_id"))
_sources = sa.table("sources", sa.column("id"), sa.column("name"))
_source_rows = sa.table("source_rows", sa.column("source_id"), sa.column("prompt_id"), sa.column("split"))
_responses = sa.table("responses", sa.column("prompt_id"), sa.column("is_reference", sa.Boolean))
_snapshot_rows = sa.table(
    "snapshot_rows", sa.column("snapshot_id"), sa.column("position"), sa.column("prompt_id"), sa.column("split")
)
_uses = sa.table("prompt_uses", sa.column("run_id"), sa.column("prompt_id"), sa.column("role"))


def upgrade() -> None:
    op.add_column("prompts", sa.Column("first_turn_key", sa.String(length=64), nullable=False, server_default=""))
    op.create_table(
        "prompt_uses",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.CheckConstraint("role IN ('train', 'held_out')", name=op.f("ck_prompt_uses_role")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_prompt_uses_prompt_id_prompts")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_prompt_uses_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "prompt_id", name=op.f("pk_prompt_uses")),
    )
    connection = op.get_bind()
    _store_first_turns(connection)
    aligned = sa.select(_runs.c.id, _runs.c.config).where(_runs.c.kind.in_(["align", "ld-align"]))
    for run_id, config in connection.execute(aligned.order_by(_runs.c.id)).all():
        rows = [
            {"run_id": run_id, "prompt_id": prompt_id, "role": role}
            for prompt_id, role in _roles(connection, run_id, config or {}).items()
        ]
        if rows:
            connection.execute(sa.insert(_uses), rows)


def downgrade() -> None:
    op.drop_table("prompt_uses")
    op.drop_column("prompts", "first_turn_key")


def _store_first_turns(connection: sa.Connection) -> None:
    """The key of the first thing the user says: of a prompt of one turn its own key."""
    after = 0
    while True:
        query = sa.select(_prompts.c.id, _prompts.c.key, _prompts.c.messages).where(_prompts.c.id > after)
        page = connection.execute(query.order_by(_prompts.c.id).limit(PAGE)).all()
        if not page:
            return
        after = page[-1].id
        statement = sa.update(_prompts).where(_prompts.c.id == sa.bindparam("of"))
        values = [{"of": row.id, "turn": _first_turn_key(row.key, row.messages)} for row in page]
        connection.execute(statement.values(first_turn_key=sa.bindparam("turn")), values)


def _first_turn_key(key: str, messages: list[Any]) -> str:
    first = next((message["content"] for message in messages if message["role"] == "user"), None)
    return key if first is None else content_key([["user", first]])


def _roles(connection: sa.Connection, run_id: int, config: dict[str, Any]) -> dict[int, str]:
    """Prompt id → role, as the run has split its data."""
    data = config.get("data") or {}
    share = data.get("held_out_share")
    if share is None:
        return {}
    is_of_references = config.get("golden") == "references"
    rows = _references(connection, config) if is_of_references else _preferences(connection, data)
    roles = {prompt_id: "held_out" if _was_held_out(key, split, share) else "train" for prompt_id, key, split in rows}
    if is_of_references:  # what was imported since then was not trained on
        query = sa.select(_run_prompts.c.prompt_id).where(_run_prompts.c.run_id == run_id)
        of_run = set(connection.scalars(query))
        roles = {id_: role for id_, role in roles.items() if role == "held_out" or id_ in of_run}
    return roles


def _was_held_out(key: str, split: str | None, share: float) -> bool:
    part = int(content_key("held out", key)[:HASH_DIGITS], 16)
    return split in HELD_OUT_SPLITS or part < int(share * 16**HASH_DIGITS)


def _preferences(connection: sa.Connection, data: dict[str, Any]) -> Iterable[Any]:
    query = (
        sa.select(_snapshot_rows.c.prompt_id, _prompts.c.key, _snapshot_rows.c.split)
        .join(_prompts, _prompts.c.id == _snapshot_rows.c.prompt_id)
        .where(_snapshot_rows.c.snapshot_id == data.get("snapshot"))
        .order_by(_snapshot_rows.c.position)
        .limit(data.get("limit"))
    )
    return connection.execute(query)


def _references(connection: sa.Connection, config: dict[str, Any]) -> Iterable[Any]:
    source = config.get("source") or {}
    rows = sa.select(_source_rows.c.prompt_id).join(_sources, _sources.c.id == _source_rows.c.source_id)
    if source.get("name") is not None:
        rows = rows.where(_sources.c.name == source["name"])
    if source.get("split") is not None:
        rows = rows.where(_source_rows.c.split == source["split"])
    taken = sa.select(_prompts.c.id).where(_prompts.c.id.in_(rows)).order_by(_prompts.c.id).limit(source.get("limit"))
    referred = sa.select(_responses.c.prompt_id).where(_responses.c.is_reference)
    split = sa.select(sa.func.min(_source_rows.c.split)).where(_source_rows.c.prompt_id == _prompts.c.id)
    query = sa.select(_prompts.c.id, _prompts.c.key, split.scalar_subquery())
    query = query.where(_prompts.c.id.in_(taken), _prompts.c.id.in_(referred))
    return connection.execute(query)
