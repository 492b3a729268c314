"""What a snapshot is made of, counted: for its card. Sessions first, no commit.

Only what is from before the snapshot counts, so that what is added later changes no fact. Judgements are as old as
their tools say: one that is imported afterwards may count, and one that its annotator has corrected since does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from db.labels.judgements import is_label, rows_about
from db.labels.snapshots import BATCH
from db.schema import curation, labels
from models.guesses import guess
from models.labelling.records import PairKey
from models.quality.records import AnnotatorJudgement


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Counts over a snapshot's rows. A row is several strategies' if they all selected its pair; a split may be None.

    `models`: how often a model wrote the chosen and the rejected response. `support`: the mean (0 to 1).
    """

    strategies: dict[str, int]
    splits: dict[str | None, int]
    models: dict[str | None, tuple[int, int]]
    sources: dict[str, int]
    run_ids: tuple[int, ...]
    cut: int
    support: float


def find_snapshot(session: Session, snapshot: str) -> int:
    """The id of a snapshot given as an id, or by its name: the newest of it.

    Raises:
        LookupError: There is none.
    """
    table = labels.Snapshot
    query = select(func.max(table.id))
    is_id = snapshot.isdecimal() and len(snapshot) < len(str(2**63))
    snapshot_id = session.scalar(query.where(table.id == int(snapshot) if is_id else table.name == snapshot))
    if snapshot_id is None:
        newest = session.execute(select(table.id, table.name).order_by(table.id.desc()).limit(1)).first()
        near = guess(snapshot, session.scalars(select(table.name).distinct()))
        advice = "make one: antipode export FILE" if newest is None else f"the newest is {newest.id}, {newest.name!r}"
        raise LookupError(f"there is no snapshot {snapshot!r}; {near}{advice}")
    return snapshot_id


def count_rows(session: Session, snapshot_id: int) -> RowCounts:
    """Count a snapshot's rows, the most frequent first."""
    row = labels.SnapshotRow
    strategies: Counter[str] = Counter()
    splits: Counter[str | None] = Counter()
    run_ids, support = set(), []
    stored = session.execute(
        select(row.strategies, row.split, row.run_id, row.support).where(row.snapshot_id == snapshot_id),
        execution_options={"yield_per": BATCH},
    )
    for row_strategies, split, run_id, row_support in stored:
        strategies.update(row_strategies)
        splits[split] += 1
        run_ids.add(run_id)
        support.append(row_support)
    return RowCounts(
        dict(strategies.most_common()),
        dict(splits.most_common()),
        _models(session, snapshot_id),
        _sources(session, snapshot_id),
        tuple(sorted(id_ for id_ in run_ids if id_ is not None)),
        _cut(session, snapshot_id),
        sum(support) / len(support) if support else 0.0,
    )


def judgements_before(session: Session, snapshot_id: int, pairs: Sequence[PairKey]) -> list[AnnotatorJudgement]:
    """The labels of these pairs that were given before the snapshot, and stand; oldest first."""
    taken_at = select(labels.Snapshot.created_at).where(labels.Snapshot.id == snapshot_id).scalar_subquery()
    table = labels.Judgement
    columns = (table.id, table.annotator_id, table.left_response_id, table.verdict, table.margin, table.seconds)
    found = rows_about(session, table, pairs, *columns, where=is_label() & (table.created_at <= taken_at))
    return [
        AnnotatorJudgement(annotator_id, pair, left_id, verdict, margin, seconds)
        for pair, _, annotator_id, left_id, verdict, margin, seconds in sorted(found, key=lambda one: one[1])
    ]


def _models(session: Session, snapshot_id: int) -> dict[str | None, tuple[int, int]]:
    row, response, generator = labels.SnapshotRow, curation.Response, curation.Generator
    counts: dict[str | None, list[int]] = {}
    for side, response_id in enumerate((row.chosen_response_id, row.rejected_response_id)):
        query = (
            select(generator.model, func.count())
            .select_from(row)
            .join(response, response.id == response_id)
            .join(generator, generator.id == response.generator_id)
            .where(row.snapshot_id == snapshot_id)
            .group_by(generator.model)
        )
        for model, count in session.execute(query):
            counts.setdefault(model, [0, 0])[side] += count
    by_use = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0] or ""))
    return {model: (chosen, rejected) for model, (chosen, rejected) in by_use}


def _sources(session: Session, snapshot_id: int) -> dict[str, int]:
    """By source, the prompts that it brought; one under a run's system message is the one that it was made of."""
    row, source, source_row = labels.SnapshotRow, curation.Source, curation.SourceRow
    taken_at = select(labels.Snapshot.created_at).where(labels.Snapshot.id == snapshot_id).scalar_subquery()
    is_of = or_(source_row.prompt_id == curation.Prompt.id, source_row.prompt_id == curation.Prompt.derived_from_id)
    prompts = select(row.prompt_id).where(row.snapshot_id == snapshot_id)
    query = (
        select(source.name, func.count(curation.Prompt.id.distinct()).label("prompts"))
        .join(source_row, source_row.source_id == source.id)
        .join(curation.Prompt, is_of)
        .where(curation.Prompt.id.in_(prompts), source.created_at <= taken_at)
        .group_by(source.name)
    )
    found = [(name, count) for name, count in session.execute(query)]
    return dict(sorted(found, key=lambda item: (-item[1], item[0])))


def _cut(session: Session, snapshot_id: int) -> int:
    row = labels.SnapshotRow
    chosen, rejected = aliased(curation.Response), aliased(curation.Response)
    query = (
        select(func.count())
        .select_from(row)
        .join(chosen, chosen.id == row.chosen_response_id)
        .join(rejected, rejected.id == row.rejected_response_id)
        .where(row.snapshot_id == snapshot_id, chosen.is_cut | rejected.is_cut)
    )
    return session.scalar(query) or 0
