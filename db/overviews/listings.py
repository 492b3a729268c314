"""What is stored, listed: sources and snapshots, each with its counts. Sessions first, records out, no commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.engine import as_utc
from db.schema import curation, labels, policies
from models.guesses import guess

LARGEST_ID = 2**31


@dataclass(frozen=True, slots=True)
class SourceLine:
    """An imported file or data set.

    `near_duplicates`: how many of its prompts are nearly the same as another, by the runs that compared them; None
    where no run has. `splits`: the names that its rows are of.
    """

    id: int
    name: str
    format: str
    location: str
    content_hash: str
    imported_at: datetime
    rows: int
    prompts: int
    responses: int
    pairs: int
    splits: tuple[str, ...]
    near_duplicates: int | None


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """Exported preferences. `query`: what chose them; `support`: the mean; `policies`: how many they trained."""

    id: int
    name: str
    made_at: datetime
    rows: int
    content_hash: str
    query: dict[str, Any]
    support: float | None
    policies: int


def list_sources(session: Session, named: str | None = None) -> list[SourceLine]:
    """The sources, newest first; of one name, or of one id.

    Raises:
        LookupError: If there is none of it.
    """
    table, row = curation.Source, curation.SourceRow
    chosen = session.scalars(_chosen(session, table, named, "source", "antipode import FILE").order_by(table.id.desc()))
    counted = select(row.source_id, func.count(), func.count(func.distinct(row.prompt_id))).group_by(row.source_id)
    rows = {id_: (count, prompts) for id_, count, prompts in session.execute(counted)}
    responses = _counts(session, curation.SourceResponse.source_id)
    pairs = _counts(session, curation.SourcePair.source_id)
    splits: dict[int, list[str]] = {}
    query = select(row.source_id, row.split).where(row.split.is_not(None)).distinct().order_by(row.source_id, row.split)
    for id_, split in session.execute(query).tuples():
        splits.setdefault(id_, []).append(str(split))
    compared = _near_duplicates(session)
    return [
        SourceLine(
            source.id,
            source.name,
            source.format,
            source.location,
            source.content_hash,
            as_utc(source.created_at),
            *rows.get(source.id, (0, 0)),
            responses.get(source.id, 0),
            pairs.get(source.id, 0),
            tuple(splits.get(source.id, ())),
            compared.get(source.id),
        )
        for source in chosen
    ]


def list_snapshots(session: Session, named: str | None = None) -> list[SnapshotLine]:
    """The snapshots, newest first; of one name, or of one id.

    Raises:
        LookupError: If there is none of it.
    """
    table, row = labels.Snapshot, labels.SnapshotRow
    query = _chosen(session, table, named, "snapshot", "antipode export FILE")
    means = select(row.snapshot_id, func.avg(row.support)).group_by(row.snapshot_id)
    support = {id_: float(value) for id_, value in session.execute(means).tuples()}
    trained = _counts(session, policies.Policy.snapshot_id)
    return [
        SnapshotLine(
            snapshot.id,
            snapshot.name,
            as_utc(snapshot.created_at),
            snapshot.row_count,
            snapshot.content_hash,
            snapshot.query,
            support.get(snapshot.id),
            trained.get(snapshot.id, 0),
        )
        for snapshot in session.scalars(query.order_by(table.id.desc()))
    ]


Named = TypeVar("Named", curation.Source, labels.Snapshot)


def _chosen(session: Session, table: type[Named], named: str | None, noun: str, advice: str) -> Select[tuple[Named]]:
    query = select(table)
    if named is None:
        return query
    is_id = named.isdecimal() and int(named) < LARGEST_ID
    by_name = query.where(table.name == named)
    found = query.where(table.id == int(named)) if is_id else by_name
    if is_id and session.scalar(found.limit(1)) is None:
        found = by_name  # a name may be a number
    if session.scalar(found.limit(1)) is None:
        names: Sequence[str] = session.scalars(select(table.name).distinct()).all()
        known = f"{guess(named, names)}see: antipode {noun}s" if names else f"make one: {advice}"
        raise LookupError(f"there is no {noun} {named!r}; {known}")
    return found


def _counts(session: Session, column: Any) -> dict[int, int]:
    """How many rows have each value of a column that names another table's row."""
    query = select(column, func.count()).where(column.is_not(None)).group_by(column)
    return {int(id_): int(count) for id_, count in session.execute(query)}


def _near_duplicates(session: Session) -> dict[int, int]:
    """Source id → how many of its prompts some run found nearly the same as another; of those that a run compared."""
    run, prompt, row = curation.Run, curation.RunPrompt, curation.SourceRow
    query = (
        select(row.source_id, func.count(func.distinct(row.prompt_id)).filter(prompt.group_id.is_not(None)))
        .join(prompt, prompt.prompt_id == row.prompt_id)
        .join(run, run.id == prompt.run_id)
        .where(run.has_checked_prompts)
        .group_by(row.source_id)
    )
    return dict(session.execute(query).tuples().all())
