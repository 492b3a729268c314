"""Preferences with a chosen and a rejected response, and snapshots of them. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select, union_all
from sqlalchemy.orm import Session

from db.engine import batches, insert_new, read_rows, stream_rows, take_turn
from db.labels.queueing import edits
from db.prompts import prompt_from_json
from db.schema import curation, labels
from db.statements.among import among
from models.exchange import PreferenceRow
from models.records import Prompt, content_key, list_key
from models.splits import is_test_split

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot without its rows."""

    id: int
    name: str
    content_hash: str
    row_count: int
    created_at: datetime


class Lineage(NamedTuple):
    """What a snapshot keeps of a preference: everything but the texts, which never change."""

    prompt_id: int
    chosen_response_id: int
    rejected_response_id: int
    run_id: int | None
    strategies: tuple[str, ...]
    similarity: float | None
    rule: str
    support: float
    vote_count: int
    split: str | None
    strength: float | None = None


_lineage_of = attrgetter(*Lineage._fields)


def preference_rows(
    session: Session,
    rule: str,
    *,
    run_id: int | None,
    strategies: Sequence[str],
    min_support: float,
    min_votes: int = 1,
) -> Iterator[PreferenceRow]:
    """Stream the decisive preferences under a rule, once a pair, by prompt; ties and contradictions are no rows.

    Of pairs that several runs have selected the newest run is named; `strategies` are all that selected the pair there.
    What people made of a response, with the response, is of the strategy `edit` and of no run.
    """
    for batch in _decisive(
        session, rule, run_id=run_id, strategies=strategies, min_support=min_support, min_votes=min_votes
    ):
        yield from _with_texts(session, batch)


def _decisive(
    session: Session,
    rule: str,
    *,
    run_id: int | None,
    strategies: Sequence[str],
    min_support: float,
    min_votes: int,
) -> Iterator[list[Lineage]]:
    pair, preference = curation.Pair, labels.Preference
    same_pair = (preference.first_response_id == pair.first_response_id) & (
        preference.second_response_id == pair.second_response_id
    )
    said = (preference.outcome, preference.support, preference.vote_count, preference.strength)
    is_decisive = (
        preference.rule == rule, preference.outcome.in_(["first", "second"]), preference.support >= min_support,
        preference.vote_count >= min_votes,
    )  # fmt: skip
    query = (
        select(pair.prompt_id, preference.first_response_id, preference.second_response_id, pair.run_id, pair.strategy,
               pair.similarity, *said, pair.id)
        .join(preference, same_pair)
        .where(*is_decisive)
    )  # fmt: skip
    if run_id is not None:
        query = query.where(pair.run_id == run_id)
    if strategies:
        query = query.where(pair.strategy.in_(strategies))
    edited = edits.edited_rows(run_id, strategies, *said, where=is_decisive)
    every = union_all(query, edited).subquery()
    prompt_id, first_id, second_id, of_run, *_, pair_id = every.columns
    ordered = select(every).order_by(prompt_id, first_id, second_id, of_run.desc(), pair_id)
    selected = stream_rows(session, ordered, BATCH)
    merged = (list(rows) for _, rows in groupby(selected, key=itemgetter(0, 1, 2)))
    strategies_known: dict[tuple[str, ...], tuple[str, ...]] = {}  # one object for all rows that have the same
    for batch in batches(merged, BATCH):
        splits = splits_of(session, {rows[0][0] for rows in batch})
        yield [_merged(rows, rule, splits, strategies_known) for rows in batch]


def add_snapshot(
    session: Session, rows: Sequence[Lineage], *, name: str, content_hash: str, query: Mapping[str, Any]
) -> int:
    """Store a snapshot, or find the same one (same name, query, texts and lineage); return its id.

    Args:
        session: An open session.
        rows: The lineage of each preference, in order.
        name: For its user.
        content_hash: Of the texts.
        query: What chose the rows.
    """
    # Of two equal exports at the same time the second finds the first's snapshot.
    take_turn(session, labels.Snapshot.__tablename__)
    key = content_key(name, dict(query), content_hash, list_key(map(_key_values, rows)))
    stored_id = session.scalar(select(labels.Snapshot.id).filter_by(key=key))
    if stored_id is not None:
        return stored_id
    snapshot = labels.Snapshot(key=key, name=name, content_hash=content_hash, query=dict(query), row_count=len(rows))
    session.add(snapshot)
    session.flush()
    for batch in batches(enumerate(rows), BATCH):
        numbered = [{"snapshot_id": snapshot.id, "position": at, **row._asdict()} for at, row in batch]
        insert_new(session, labels.SnapshotRow, numbered)
    return snapshot.id


def _key_values(row: Lineage) -> dict[str, Any]:
    """What of a row is in a snapshot's key; a strength that nobody gave is not, as before there were any."""
    values = row._asdict()
    if values["strength"] is None:
        del values["strength"]
    return values


def lineage(row: PreferenceRow) -> Lineage:
    """What a snapshot keeps of a preference."""
    return Lineage(*_lineage_of(row))


def snapshot_info(session: Session, snapshot_id: int) -> SnapshotInfo:
    """A snapshot's name, hash and size.

    Raises:
        LookupError: If there is none of this id.
    """
    row = session.get(labels.Snapshot, snapshot_id)
    if row is None:
        newest = session.scalar(select(func.max(labels.Snapshot.id)))
        raise LookupError(f"there is no snapshot {snapshot_id}; the newest is {newest or 'none: antipode export'}")
    return SnapshotInfo(row.id, row.name, row.content_hash, row.row_count, row.created_at)


def snapshot_query(session: Session, snapshot_id: int) -> dict[str, Any]:
    """What chose a snapshot's rows."""
    query: dict[str, Any] = session.scalars(select(labels.Snapshot.query).filter_by(id=snapshot_id)).one()
    return query


def snapshot_rows(session: Session, snapshot_id: int, *, limit: int | None = None) -> Iterator[PreferenceRow]:
    """Stream the preferences of a snapshot in its order; with a limit the first ones alone."""
    table = labels.SnapshotRow.__table__
    query = (
        select(*(table.c[name] for name in Lineage._fields))
        .where(table.c.snapshot_id == snapshot_id)
        .order_by(table.c.position)
        .limit(limit)
    )
    kept = (Lineage(*row) for row in stream_rows(session, query, BATCH))
    for batch in batches((row._replace(strategies=tuple(row.strategies)) for row in kept), BATCH):
        yield from _with_texts(session, batch)


def _merged(
    rows: Sequence[Any],
    rule: str,
    splits: Mapping[int, str | None],
    strategies_known: dict[tuple[str, ...], tuple[str, ...]],
) -> Lineage:
    """What is kept of the selected rows that name one pair, newest run first."""
    prompt_id, first_id, second_id, run_id, _, similarity, outcome, support, vote_count, strength, _ = rows[0]
    chosen_id, rejected_id = (first_id, second_id) if outcome == "first" else (second_id, first_id)
    strategies = tuple(dict.fromkeys(row[4] for row in rows if row[3] == run_id))
    return Lineage(
        prompt_id=prompt_id,
        chosen_response_id=chosen_id,
        rejected_response_id=rejected_id,
        run_id=run_id,
        strategies=strategies_known.setdefault(strategies, strategies),
        similarity=similarity,
        rule=rule,
        support=support,
        vote_count=vote_count,
        split=splits.get(prompt_id),
        strength=strength,
    )


def splits_of(session: Session, prompt_ids: Collection[int]) -> dict[int, str | None]:
    """The split of the source row each prompt came from; of several one that is only measured on, then by name.

    A prompt that a run put its system message before is of the splits of the one it was made of, too.
    """
    table, prompt = curation.SourceRow, curation.Prompt
    splits: dict[int, list[str]] = {}
    is_of = or_(table.prompt_id == prompt.id, table.prompt_id == prompt.derived_from_id)
    for batch in batches(prompt_ids, BATCH):
        query = select(prompt.id, table.split).join(table, is_of).where(among(prompt.id, batch)).distinct()
        for prompt_id, split in session.execute(query):
            splits.setdefault(prompt_id, []).extend([] if split is None else [split])
    return {
        prompt_id: min(names, key=lambda name: (not is_test_split(name), name), default=None)
        for prompt_id, names in splits.items()
    }


def _with_texts(session: Session, rows: Sequence[Lineage]) -> Iterator[PreferenceRow]:
    """The rows with prompt, texts and models. Like the texts, how a response ended never changes."""
    responses, prompts = _responses_of(session, rows), _prompts_of(session, rows)
    for row in rows:
        chosen, chosen_model, is_chosen_cut, chosen_thought = responses[row.chosen_response_id]
        rejected, rejected_model, is_rejected_cut, rejected_thought = responses[row.rejected_response_id]
        ids, kept = row[:3], row[3:]
        texts = (prompts[row.prompt_id], chosen, rejected)
        ends = (is_chosen_cut, is_rejected_cut, chosen_thought, rejected_thought)
        yield PreferenceRow._make((*texts, *ids, chosen_model, rejected_model, *kept, *ends))


def _responses_of(session: Session, rows: Sequence[Lineage]) -> dict[int, tuple[str, str | None, bool, str | None]]:
    """Text, model, whether it is cut, and thought of the rows' responses, by id."""
    ids = {id_ for row in rows for id_ in (row.chosen_response_id, row.rejected_response_id)}
    response, generator = curation.Response, curation.Generator
    responses: dict[int, tuple[str, str | None, bool, str | None]] = {}
    for batch in batches(sorted(ids), BATCH):
        query = select(response.id, response.text, generator.model, response.is_cut, response.thought).join(
            generator, generator.id == response.generator_id
        )
        found = read_rows(session, query.where(among(response.id, batch)))
        responses |= {id_: (text, model, is_cut, thought) for id_, text, model, is_cut, thought in found}
    return responses


def _prompts_of(session: Session, rows: Sequence[Lineage]) -> dict[int, Prompt]:
    prompts: dict[int, Prompt] = {}
    for batch in batches(sorted({row.prompt_id for row in rows}), BATCH):
        query = select(curation.Prompt.id, curation.Prompt.messages).where(among(curation.Prompt.id, batch))
        prompts |= {id_: prompt_from_json(messages) for id_, messages in read_rows(session, query)}
    return prompts
