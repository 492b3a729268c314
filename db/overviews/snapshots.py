"""Snapshots as the workbench shows them: what they hold, where it is from, what was trained on them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from db.overviews.runs import Made
from db.schema import curation, labels
from db.schema.policies import Policy


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """A snapshot as the list shows it; `policies`: how many were trained on it."""

    id: int
    name: str
    content_hash: str
    row_count: int
    created_at: datetime
    policies: int


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """A snapshot's rows counted by what they are of; a row is several strategies' if they all selected its pair.

    `support` is the mean (0 to 1), `votes` their sum, `runs`: the run's id, its name, its rows.
    """

    strategies: dict[str, int]
    splits: dict[str | None, int]
    rules: dict[str, int]
    runs: list[tuple[int, str, int]]
    support: float
    votes: int


def snapshot_lines(session: Session, *, before: int | None = None, limit: int) -> list[SnapshotLine]:
    """The newest snapshots, or the newest of those that were taken before one."""
    table = labels.Snapshot
    trained = select(func.count()).where(Policy.snapshot_id == table.id).correlate(table).scalar_subquery()
    query = (
        select(table.id, table.name, table.content_hash, table.row_count, table.created_at, trained)
        .order_by(table.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(table.id < before)
    return [SnapshotLine(*row) for row in session.execute(query).tuples()]


def snapshot_parts(session: Session, snapshot_id: int) -> SnapshotParts:
    """Count a snapshot's rows, the most frequent first."""
    row, run = labels.SnapshotRow, curation.Run
    parts = (cast(row.strategies, Text), row.split, row.rule, row.run_id)
    sums = (func.count(), func.sum(row.support), func.sum(row.vote_count))
    # One pass over the rows: they differ in few ways.
    found = session.execute(select(*parts, *sums).where(row.snapshot_id == snapshot_id).group_by(*parts)).all()
    strategies, splits, rules, by_run = (Counter[Any]() for _ in parts)
    for names, split, rule, run_id, count, _, _ in found:
        strategies.update(dict.fromkeys(json.loads(names), count))
        splits[split] += count
        rules[rule] += count
        by_run[run_id] += count
    names_of = dict(session.execute(select(run.id, run.name).where(run.id.in_(by_run.keys() - {None}))).tuples().all())
    rows = by_run.total()
    return SnapshotParts(
        strategies=dict(strategies.most_common()),
        splits=dict(splits.most_common()),
        rules=dict(rules.most_common()),
        runs=[(run_id, name, by_run[run_id]) for run_id, name in sorted(names_of.items())],
        support=sum(each[5] for each in found) / rows if rows else 0.0,
        votes=int(sum(each[6] for each in found)),
    )


def snapshots_of(session: Session, run_id: int) -> list[Made]:
    """The snapshots that hold preferences of a run, newest first."""
    table, row = labels.Snapshot, labels.SnapshotRow
    holds = select(row.position).where(row.run_id == run_id)
    found = []
    for id_, name, query in session.execute(select(table.id, table.name, table.query).order_by(table.id.desc())):
        # One that was taken of a run says so; only the rows of the others tell.
        of_run = query.get("run", "all")
        first = holds.where(row.snapshot_id == id_).limit(1)
        if of_run == run_id or (of_run == "all" and session.scalar(first) is not None):
            found.append(Made(id_, name, ""))
    return found


def trained_on(session: Session, snapshot_id: int) -> list[Made]:
    """The policies that were trained on a snapshot, newest first."""
    query = select(Policy.id, Policy.name, Policy.status).where(Policy.snapshot_id == snapshot_id)
    return [Made(*row) for row in session.execute(query.order_by(Policy.id.desc()))]
