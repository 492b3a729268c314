"""Pairs: store what was selected, read what users ask for. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session, aliased

from db.engine import INSERT_BATCH, batches, insert_new, read_rows, row_of, stream_rows, take_turn
from db.schema import curation, labels
from db.statements.among import among
from models.labelling.records import PairKey, Preference
from models.labelling.rules import STANDING_RULE
from models.quality.records import StrategyRates
from models.records import Pair, VectorLocation

_OF_LABELS = ("outcome", "support", "vote_count", "is_judged")  # what a pair keeps of its labels by the standing rule
_NOTHING, _ONLY_JUDGED = (None, None, 0, False), (None, None, 0, True)


@dataclass(frozen=True, slots=True)
class SelectedPair:
    """One row of the view `selected_pairs`."""

    pair_id: int
    run_id: int
    run: str
    strategy: str
    prompt_id: int
    prompt: str
    first_response_id: int
    second_response_id: int
    first_response: str
    second_response: str
    first_model: str | None
    second_model: str | None
    is_first_cut: bool
    is_second_cut: bool
    similarity: float
    rank: int
    pair_count: int


@dataclass(frozen=True, slots=True)
class StrategySummary:
    """One row of the view `strategy_summary`. `mean_length_ratio`: of the shorter response over the longer.

    `degenerate_share`: of the pairs, those of which the guard flagged a response; `shared_share`: those that another
    strategy of the run chose too.
    """

    run_id: int
    run: str
    strategy: str
    pairs: int
    mean_similarity: float
    mean_length_ratio: float
    degenerate_share: float
    shared_share: float


@dataclass(frozen=True, slots=True)
class SourcePairLocations:
    """A pair its source made, with where the vectors of its two responses lie; the lower response id is first."""

    first: VectorLocation
    second: VectorLocation


def add_pairs(session: Session, run_id: int, pairs: Iterable[Pair]) -> int:
    """Store selected pairs; one that is stored already stays as it is. Returns how many were new."""
    # A label that comes meanwhile is seen here, or sees these pairs.
    take_turn(session, labels.Preference.__tablename__)
    return sum(
        insert_new(session, curation.Pair, _pair_rows(session, run_id, batch)) for batch in batches(pairs, INSERT_BATCH)
    )


def labels_changed(session: Session, changed: Sequence[Preference], unlabelled: Mapping[PairKey, bool]) -> None:
    """Keep with the pairs, in whatever run, what their preferences by the standing rule say now.

    `unlabelled`: those without one, and whether somebody judged them.
    """
    table, kept_columns = curation.Pair, [getattr(curation.Pair, name) for name in _OF_LABELS]
    said: dict[tuple[int, ...], tuple[Any, ...]]
    said = {tuple(one.pair): (one.outcome, one.support, one.vote_count, True) for one in changed}
    said |= {tuple(pair): _ONLY_JUDGED if is_judged else _NOTHING for pair, is_judged in unlabelled.items()}
    ids: dict[tuple[Any, ...], set[int]] = {}  # few say different things of thousands of pairs
    for batch in batches(said, INSERT_BATCH):
        query = select(table.id, table.first_response_id, table.second_response_id, *kept_columns)
        query = query.where(among(table.first_response_id, {pair[0] for pair in batch}))
        for id_, first_id, second_id, *kept in read_rows(session, query):
            values = said.get((first_id, second_id))
            if values is not None and values != tuple(kept):
                ids.setdefault(values, set()).add(id_)
    for values, of_values in ids.items():
        new = dict(zip(_OF_LABELS, values, strict=True))
        for part in batches(sorted(of_values), INSERT_BATCH):
            statement = update(table.__table__).where(among(table.id, part)).values(new)  # type: ignore[arg-type]
            session.connection().execute(statement)


def selected_pairs(
    session: Session, run_id: int, *, strategy: str | None = None, limit: int | None = None
) -> Iterator[SelectedPair]:
    """Stream the view `selected_pairs` of one run, by strategy and prompt, row by row."""
    query = text(
        "SELECT * FROM selected_pairs WHERE run_id = :run_id"
        + (" AND strategy = :strategy" if strategy else "")
        + " ORDER BY strategy, prompt_id, pair_id"
        + (" LIMIT :limit" if limit is not None else "")
    )
    values = {"run_id": run_id, "strategy": strategy, "limit": limit}
    used = {name: value for name, value in values.items() if f":{name}" in query.text}
    # Only as an option of the execution does it make a server-side cursor on PostgreSQL.
    for row in session.execute(query, used, execution_options={"yield_per": 500}).mappings():
        is_cut = {name: bool(row[name]) for name in ("is_first_cut", "is_second_cut")}  # SQLite says 0 and 1
        yield SelectedPair(**{**row, **is_cut})


def count_pairs(session: Session, run_id: int, *, strategy: str | None = None) -> int:
    """How many pairs a run selected, by a strategy or by all."""
    query = select(func.count()).select_from(curation.Pair).filter_by(run_id=run_id)
    return session.scalars(query if strategy is None else query.filter_by(strategy=strategy)).one()


def similarities(session: Session, run_id: int) -> dict[str, list[float]]:
    """Similarities of a run's pairs by strategy, in the order the strategies were configured to be stored."""
    query = select(curation.Pair.strategy, curation.Pair.similarity).filter_by(run_id=run_id).order_by(curation.Pair.id)
    by_strategy: dict[str, list[float]] = {}
    for strategy, similarity in stream_rows(session, query, 10_000):
        by_strategy.setdefault(strategy, []).append(similarity)
    return by_strategy


def strategies_of(session: Session, run_id: int | None) -> list[str]:
    """The strategies that a run (None: any) selected a pair by."""
    query = select(curation.Pair.strategy).distinct().order_by(curation.Pair.strategy)
    return list(session.scalars(query if run_id is None else query.filter_by(run_id=run_id)))


def prompts_with_pairs(
    session: Session, run_id: int, strategies: Collection[str], prompt_ids: Sequence[int]
) -> set[tuple[str, int]]:
    """Which of these prompts have a pair of the run by one of these strategies: (strategy, prompt id)."""
    query = select(curation.Pair.strategy, curation.Pair.prompt_id).filter_by(run_id=run_id).distinct()
    of_strategies = query.where(curation.Pair.strategy.in_(strategies))
    rows = session.execute(of_strategies.where(curation.Pair.prompt_id.in_(prompt_ids)))
    return {(strategy, prompt_id) for strategy, prompt_id in rows}


def strategy_summaries(session: Session, run_id: int) -> dict[str, StrategySummary]:
    """The rows of the view `strategy_summary` of one run, by strategy; one without a pair has none."""
    query = text("SELECT * FROM strategy_summary WHERE run_id = :run_id ORDER BY strategy")
    rows = (StrategySummary(**row) for row in session.execute(query, {"run_id": run_id}).mappings())
    return {row.strategy: row for row in rows}


def strategy_overlaps(session: Session, run_id: int) -> dict[str, dict[str, int]]:
    """How many of a strategy's pairs each other one chose too, by strategy; who share none are left out."""
    query = text("SELECT strategy, other_strategy, shared_pairs FROM strategy_overlaps WHERE run_id = :run_id")
    overlaps: dict[str, dict[str, int]] = {}
    for strategy, other_strategy, shared_pairs in session.execute(query, {"run_id": run_id}):
        overlaps.setdefault(strategy, {})[other_strategy] = shared_pairs
    return overlaps


def strategy_rates(session: Session, run_id: int) -> list[StrategyRates]:
    """The rows of the view `strategy_labels` of one run, by strategy, people first in each."""
    query = text(
        "SELECT strategy, annotators, votes, ties, both_bad, skips FROM strategy_labels WHERE run_id = :run_id "
        "ORDER BY strategy, annotators DESC"
    )
    return [StrategyRates(**row) for row in session.execute(query, {"run_id": run_id}).mappings()]


def most_choices(session: Session, run_id: int) -> int | None:
    """The largest number of pairs that one of a run's pairs was chosen from; None for a run without a pair."""
    return session.scalar(select(func.max(curation.Pair.pair_count)).filter_by(run_id=run_id))


def pairs_by_prompt(session: Session, run_id: int, prompt_count: int) -> dict[int, dict[str, tuple[int, int]]]:
    """The first pair of each strategy of a run's first prompts: prompt id → strategy → the two response ids."""
    first_prompts = (
        select(curation.Pair.prompt_id)
        .filter_by(run_id=run_id)
        .distinct()
        .order_by(curation.Pair.prompt_id)
        .limit(prompt_count)
    )
    query = (
        select(curation.Pair)
        .where(curation.Pair.run_id == run_id, curation.Pair.prompt_id.in_(first_prompts))
        .order_by(curation.Pair.prompt_id, curation.Pair.id)
    )
    by_prompt: dict[int, dict[str, tuple[int, int]]] = {}
    for pair in session.scalars(query):
        by_strategy = by_prompt.setdefault(pair.prompt_id, {})
        by_strategy.setdefault(pair.strategy, (pair.first_response_id, pair.second_response_id))
    return by_prompt


def source_pair_locations(session: Session, run_id: int, embedder_id: int) -> list[SourcePairLocations]:
    """Pairs that sources made, both responses candidates of the run with a vector, and their texts different.

    A pair with a response that the guard leaves out of the run is none of them.
    A response that repeats an earlier candidate's text has that candidate's vector.
    """
    first, second = aliased(curation.Candidate), aliased(curation.Candidate)
    first_vector, second_vector = aliased(curation.Embedding), aliased(curation.Embedding)
    first_text = func.coalesce(first.duplicate_of_id, first.response_id)
    second_text = func.coalesce(second.duplicate_of_id, second.response_id)
    guarded = select(curation.GuardFlag.response_id).where(
        curation.GuardFlag.run_id == run_id, curation.GuardFlag.is_left_out
    )
    query = (
        select(
            first.prompt_id, first.response_id, first_vector.shard, first_vector.row,
            second.response_id, second_vector.shard, second_vector.row,
        )
        .select_from(curation.SourcePair)
        .join(first, (first.response_id == curation.SourcePair.first_response_id) & (first.run_id == run_id))
        .join(second, (second.response_id == curation.SourcePair.second_response_id) & (second.run_id == run_id))
        .join(first_vector, first_vector.response_id == first_text)
        .join(second_vector, second_vector.response_id == second_text)
        .where(
            first_vector.embedder_id == embedder_id,
            second_vector.embedder_id == embedder_id,
            first_vector.shard.is_not(None),
            second_vector.shard.is_not(None),
            first_text != second_text,
            first_text.not_in(guarded),
            second_text.not_in(guarded),
        )
        .distinct()
        .order_by(first.prompt_id, first.response_id, second.response_id)
    )  # fmt: skip
    pairs = set()
    for prompt_id, first_id, first_shard, first_row, second_id, second_shard, second_row in read_rows(session, query):
        first_location = VectorLocation(prompt_id, first_id, first_shard, first_row)
        second_location = VectorLocation(prompt_id, second_id, second_shard, second_row)
        low, high = sorted((first_location, second_location), key=lambda location: location.response_id)
        pairs.add((low, high))
    ordered = sorted(pairs, key=lambda pair: (pair[0].prompt_id, pair[0].response_id, pair[1].response_id))
    return [SourcePairLocations(low, high) for low, high in ordered]


def _pair_rows(session: Session, run_id: int, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    lengths = _text_lengths(session, {id_ for one in pairs for id_ in (one.first_response_id, one.second_response_id)})
    said = _said_of(session, {pair.first_response_id for pair in pairs})
    return [
        {
            "run_id": run_id,
            **row_of(pair),
            "length_ratio": _length_ratio(lengths[pair.first_response_id], lengths[pair.second_response_id]),
            **dict(zip(_OF_LABELS, said.get((pair.first_response_id, pair.second_response_id), _NOTHING), strict=True)),
        }
        for pair in pairs
    ]


def _said_of(session: Session, first_ids: Collection[int]) -> dict[tuple[int, ...], tuple[Any, ...]]:
    """What is kept of the labels on the judged pairs with these first responses."""
    judged, table = labels.Judgement, labels.Preference
    of_judged = select(judged.first_response_id, judged.second_response_id)
    of_judged = of_judged.where(among(judged.first_response_id, first_ids))
    said: dict[tuple[int, ...], tuple[Any, ...]] = {tuple(row): _ONLY_JUDGED for row in read_rows(session, of_judged)}
    query = select(table.first_response_id, table.second_response_id, table.outcome, table.support, table.vote_count)
    query = query.where(table.rule == STANDING_RULE, among(table.first_response_id, first_ids))
    return said | {(row[0], row[1]): (*row[2:], True) for row in read_rows(session, query)}


def _text_lengths(session: Session, response_ids: Iterable[int]) -> dict[int, int]:
    """Characters by response id."""
    table = curation.Response
    query = select(table.id, func.length(table.text))
    return {
        id_: length
        for batch in batches(response_ids, INSERT_BATCH)
        for id_, length in read_rows(session, query.where(among(table.id, batch)))
    }


def _length_ratio(first: int, second: int) -> float:
    return min(first, second) / max(first, second) if first != second else 1.0
