"""Who still needs what is to go, or a part of it. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CompoundSelect, Select, String, func, literal, or_, select, union, union_all
from sqlalchemy.orm import Session

from db.promotions import in_use
from db.schema import labels, policies
from db.tidying.marks import Marks
from db.tidying.ties import Tie, naming

MOST_NAMED = 20
_LOUD = ("snapshot_rows", "prompt_uses", "latent_distances")  # what a training or a snapshot holds its texts by
_NEUTRAL = ("responses", "prompts")  # what is held there is held for their sake
_HOLDERS = {"run_id": "run", "source_id": "source", "queue_id": "queue", "snapshot_id": "snapshot"}


@dataclass(frozen=True, slots=True)
class Need:
    """What keeps something from being forgotten, by kind and id, and what it needs of it; what to do first."""

    kind: str
    id: int
    why: str
    command: str = ""

    @property
    def words(self) -> str:
        """As one clause."""
        return f"{self.kind} {self.id} {self.why}"

    @property
    def first(self) -> str:
        """The command to give first."""
        return self.command or f"antipode forget {self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class Kept:
    """So many shared rows of a table stay, because these hold them: (kind, id), at most 20 are named."""

    table: str
    count: int
    holders: tuple[tuple[str, int], ...]


def needs(session: Session, marks: Marks) -> list[Need]:
    """What forbids to forget what is marked."""
    found = [
        *_policy_needs(session, marks),
        *_named_by_snapshots(session, marks),
        *_texts(session, marks),
    ]
    return list({(need.kind, need.id): need for need in reversed(found)}.values())[::-1]


def kept(session: Session, marks: Marks) -> list[Kept]:
    """The shared texts that stay, and for whom."""
    found = []
    for table in ("prompts", "responses"):
        ids = marks.kept(table)
        count = session.scalar(select(func.count()).select_from(ids.subquery())) or 0
        if count:
            found.append(Kept(table, count, tuple(_holders(session, marks, table, ids))))
    return found


def _policy_needs(session: Session, marks: Marks) -> Iterable[Need]:
    table, going = policies.Policy, marks.ids("policies")
    used = in_use(session)
    if used in going:
        assert used is not None
        yield Need("policy", used, "is in use", "antipode rollback")
    stays = ~marks.goes("policies")
    for id_, parent_id in session.execute(
        select(table.id, table.parent_id)
        .where(stays, marks.among_going(table.parent_id, "policies"))
        .order_by(table.id)
    ):
        yield Need("policy", id_, f"began with policy {parent_id}")
    prints = select(table.fingerprint).where(marks.goes("policies"), table.fingerprint.is_not(None))
    began = select(table.id).where(stays, table.parent_id.is_(None), table.start_fingerprint.in_(prints))
    for id_ in session.scalars(began.order_by(table.id)):
        yield Need("policy", id_, "began with a model of the same content")
    trained = select(table.id, table.snapshot_id).where(stays, marks.among_going(table.snapshot_id, "snapshots"))
    for id_, snapshot_id in session.execute(trained.order_by(table.id)):
        yield Need("policy", id_, f"was trained on snapshot {snapshot_id}")


def _named_by_snapshots(session: Session, marks: Marks) -> Iterable[Need]:
    row = labels.SnapshotRow
    query = (
        select(row.snapshot_id, row.run_id, func.count())
        .where(marks.among_going(row.run_id, "runs"), ~marks.goes("snapshot_rows"))
        .group_by(row.snapshot_id, row.run_id)
        .order_by(row.snapshot_id, row.run_id)
    )
    for snapshot_id, run_id, count in session.execute(query):
        yield Need("snapshot", snapshot_id, f"holds {count:,} preferences of run {run_id}")


def _texts(session: Session, marks: Marks) -> Iterable[Need]:
    """Texts that would go but for a snapshot, or a policy that was trained on them."""
    row, use, distance = labels.SnapshotRow, policies.PromptUse, policies.LatentDistance
    only = {table: _held_by_those_alone(marks, table) for table in ("responses", "prompts")}
    in_rows = or_(
        row.chosen_response_id.in_(only["responses"]),
        row.rejected_response_id.in_(only["responses"]),
        row.prompt_id.in_(only["prompts"]),
    )
    query = select(row.snapshot_id, func.count()).where(in_rows, ~marks.goes("snapshot_rows"))
    for snapshot_id, count in session.execute(query.group_by(row.snapshot_id).order_by(row.snapshot_id)):
        yield Need("snapshot", snapshot_id, f"holds {count:,} preferences on its texts")
    of_prompts = select(use.run_id, use.prompt_id).where(use.prompt_id.in_(only["prompts"]), ~marks.goes("prompt_uses"))
    responses = distance.golden_response_id, distance.sampled_response_id
    of_responses = select(distance.run_id, distance.prompt_id).where(
        or_(*(column.in_(only["responses"]) for column in responses)), ~marks.goes("latent_distances")
    )
    used = union(of_prompts, of_responses).subquery()
    policy = policies.Policy
    trained = (
        select(policy.id, func.count())
        .join(used, used.c.run_id == policy.run_id)
        .where(~marks.goes("policies"))
        .group_by(policy.id)
    )
    for policy_id, count in session.execute(trained.order_by(policy.id)):
        yield Need("policy", policy_id, f"was trained or measured on {count:,} of its prompts")


def _held_by_those_alone(marks: Marks, table: str) -> Select[Any]:
    """The ids of texts that stay, and that no run, source, queue or comparison holds."""
    ids = marks.kept(table).subquery()
    query = select(ids.c.id)
    is_trained = select(policies.Policy.run_id).where(~marks.goes("policies"))
    for one in naming(table, Tie.HOLDS):
        if one.table.name in ("snapshot_rows", *_NEUTRAL):
            continue
        stays = select(one.column).where(~marks.goes(one.table.name), one.column.is_not(None))
        if one.table.name in _LOUD:
            stays = stays.where(one.table.c.run_id.not_in(is_trained))
        query = query.where(ids.c.id.not_in(stays))
    return query


def _holders(session: Session, marks: Marks, table: str, ids: Select[Any]) -> Iterable[tuple[str, int]]:
    found = []
    for one in naming(table, Tie.HOLDS):
        for column, kind in _HOLDERS.items():
            if column in one.table.c and one.table.name != "snapshot_rows":
                query = select(literal(kind, String).label("kind"), one.table.c[column].label("id")).distinct()
                found.append(query.where(one.column.in_(ids), ~marks.goes(one.table.name)))
    snapshot, evaluation = labels.SnapshotRow, policies.EvaluationPair
    columns = (
        (snapshot.chosen_response_id, snapshot.rejected_response_id) if table == "responses" else (snapshot.prompt_id,)
    )
    of_snapshots = or_(*(column.in_(ids) for column in columns)) & ~marks.goes("snapshot_rows")
    found.append(select(literal("snapshot", String), snapshot.snapshot_id).where(of_snapshots).distinct())
    compared = (
        or_(evaluation.policy_response_id.in_(ids), evaluation.baseline_response_id.in_(ids))
        if table == "responses"
        else evaluation.prompt_id.in_(ids)
    )
    of_policies = select(literal("policy", String), policies.Evaluation.policy_id).join(
        evaluation, evaluation.evaluation_id == policies.Evaluation.id
    )
    found.append(of_policies.where(compared, ~marks.goes("evaluation_pairs")).distinct())
    both: CompoundSelect[Any] = union_all(*found)
    rows = both.subquery()
    query = select(rows.c.kind, rows.c.id).where(rows.c.id.is_not(None)).distinct().order_by(rows.c.kind, rows.c.id)
    return [(kind, id_) for kind, id_ in session.execute(query.limit(MOST_NAMED))]
