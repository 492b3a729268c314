"""Runs as the workbench shows them: a line each, what came of them, how alike the pairs are that they selected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.overviews.counted import MOST_COUNTED, Counted, count_up_to, counted, some_rows
from db.runs import COMPLETED, RunRecord, get_run
from db.schema import curation, labels
from db.schema.counts import BIN_OF_SIMILARITY, SIMILARITY_BIN, RunCounts, RunSimilarities
from db.schema.policies import Policy

BIN = SIMILARITY_BIN  # of the histograms of similarities
_FIRST_SIMILARITIES = f"""
    SELECT bin, count(*) FROM (
        SELECT {BIN_OF_SIMILARITY} AS bin FROM pairs
        WHERE run_id = :run AND strategy >= :strategy AND strategy <= :strategy  -- so that the order names one index
        ORDER BY strategy, prompt_id, id LIMIT :most
    ) AS first_pairs
    GROUP BY bin ORDER BY bin
"""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run as the list shows it. `annotator`: who judges in it; of a run that labels, `labelled_run_id` has the pairs.

    `judgements` are those that this run stored.
    """

    id: int
    name: str
    kind: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    labelled_run_id: int | None
    annotator: str | None
    requests: int
    cost: float
    device_seconds: float
    prompts: Counted
    pairs: Counted
    judgements: Counted


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What came of a run. None: too many to be counted before the run is completed."""

    run: RunRecord
    prompts: Counted
    skipped_prompts: Counted
    responses: Counted
    pairs: Counted
    judgements: Counted
    duplicates: Counted | None = None
    cut_responses: Counted | None = None
    tokens: Counted | None = None


@dataclass(frozen=True, slots=True)
class Similarities:
    """How alike the pairs of a strategy are: bin k holds those from −1 + k `BIN` up to the next."""

    bins: dict[int, int]
    pairs: Counted


@dataclass(frozen=True, slots=True)
class Done:
    """How many of a run's prompts are done; a little less than there are where it is not exact."""

    count: int
    prompts: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Made:
    """Something that a run made, or that was made of it."""

    id: int
    name: str
    status: str


def run_lines(session: Session, *, before: int | None = None, limit: int) -> list[RunLine]:
    """The newest runs, or the newest of those that were opened before one."""
    run, prompt, pair, judgement = curation.Run, curation.RunPrompt, curation.Pair, labels.Judgement
    query = (
        select(
            run.id, run.name, run.kind, run.status, run.started_at, run.finished_at, run.labelled_run_id,
            labels.Annotator.name, run.requests, run.cost, run.device_seconds,
            count_up_to(prompt.run_id == run.id, run, by=prompt.prompt_id),
            count_up_to(pair.run_id == run.id, run, by=pair.strategy),
            count_up_to(judgement.run_id == run.id, run, by=judgement.run_id),
        )
        .outerjoin(labels.Annotator, labels.Annotator.id == run.annotator_id)
        .order_by(run.id.desc())
        .limit(limit)
    )  # fmt: skip
    if before is not None:
        query = query.where(run.id < before)
    return [RunLine(*row[:11], *map(counted, row[11:])) for row in session.execute(query)]


def labelling_runs(session: Session, run_id: int) -> list[Made]:
    """The runs that label the pairs of this one, newest first."""
    run = curation.Run
    query = select(run.id, run.name, run.status).where(run.labelled_run_id == run_id).order_by(run.id.desc())
    return [Made(*row) for row in session.execute(query)]


def policies_of(session: Session, run_id: int) -> list[Made]:
    """The policies that a run trained, oldest first."""
    query = select(Policy.id, Policy.name, Policy.status).where(Policy.run_id == run_id).order_by(Policy.id)
    return [Made(*row) for row in session.execute(query)]


def pair_counts(session: Session, run_id: int) -> dict[str, Counted]:
    """How many pairs each strategy of a run selected: all of a completed one, else up to `MOST_COUNTED`."""
    kept, pair = RunSimilarities, curation.Pair
    query = select(kept.strategy, func.sum(kept.pairs)).filter_by(run_id=run_id).group_by(kept.strategy)
    counts = {name: Counted(int(count), False) for name, count in session.execute(query.order_by(kept.strategy))}
    return counts or {
        name: _some(session, pair.run_id == run_id, pair.strategy == name, by=pair.prompt_id)
        for name in _strategies(session, run_id)
    }


def prompts_done(session: Session, run_id: int) -> Done:
    """How many prompts of a run have a pair, or a reason why they have none.

    Of more than `MOST_COUNTED` pairs only the prompts of the strategy that selected most are counted.
    """
    pair, prompt = curation.Pair, curation.RunPrompt
    paired = select(func.count(pair.prompt_id.distinct())).where(pair.run_id == run_id)
    counts = pair_counts(session, run_id)
    of_all = sum(counts.values(), Counted(0, False))
    is_exact = not of_all.has_more and of_all.count <= MOST_COUNTED
    if not is_exact:
        most = max(counts, key=lambda name: (counts[name].count, counts[name].has_more))
        paired = paired.where(pair.strategy == most)
    skipped = select(func.count()).where(prompt.run_id == run_id, prompt.skipped.is_not(None))
    of_run = select(func.count()).where(prompt.run_id == run_id)
    count = (session.scalar(paired) or 0) + (session.scalar(skipped) or 0)
    return Done(count, session.scalar(of_run) or 0, is_exact)


def run_figures(session: Session, run_id: int) -> RunFigures:
    """Count what a run came to: exactly where that is kept or quick, else up to `MOST_COUNTED` of each.

    Judgements are counted up to there in any case.

    Raises:
        LookupError: If there is no such run.
    """
    run = get_run(session, run_id)
    prompt, candidate, pair, judgement = curation.RunPrompt, curation.Candidate, curation.Pair, labels.Judgement
    responses = _some(session, candidate.run_id == run_id, by=candidate.prompt_id)
    figures = RunFigures(
        run,
        prompts=_some(session, prompt.run_id == run_id, by=prompt.prompt_id),
        skipped_prompts=_some(session, prompt.run_id == run_id, prompt.skipped.is_not(None), by=prompt.prompt_id),
        responses=responses,
        pairs=_some(session, pair.run_id == run_id, by=pair.strategy),
        judgements=_some(session, judgement.run_id == run_id, by=judgement.run_id),
    )
    if session.get(RunCounts, run_id) is None and responses.has_more:
        return figures
    names = ("prompts", "skipped_prompts", "responses", "duplicates", "cut_responses", "pairs", "tokens")
    query = text(f"SELECT {', '.join(names)} FROM run_summary WHERE run_id = :run_id")
    row = session.execute(query, {"run_id": run_id}).mappings().one()
    exact: dict[str, Any] = {name: Counted(row[name] or 0, False) for name in names}
    return replace(figures, **exact)


def similarity_counts(session: Session, run_ids: Sequence[int]) -> dict[int, dict[str, Similarities]]:
    """How alike the pairs of runs are, by run and strategy; of an unfinished run the first `MOST_COUNTED` of each."""
    run, kept = curation.Run, RunSimilarities
    found: dict[int, dict[str, Similarities]] = {run_id: {} for run_id in run_ids}
    is_completed = select(run.id).where(run.id.in_(run_ids), run.status == COMPLETED)
    completed = set(session.scalars(is_completed))
    query = select(kept.run_id, kept.strategy, kept.bin, kept.pairs).where(kept.run_id.in_(completed))
    bins: dict[tuple[int, str], dict[int, int]] = {}
    for run_id, strategy, at, count in session.execute(query.order_by(kept.run_id, kept.strategy, kept.bin)):
        bins.setdefault((run_id, strategy), {})[at] = count
    for (run_id, strategy), of_one in bins.items():
        found[run_id][strategy] = Similarities(of_one, Counted(sum(of_one.values()), False))
    for run_id in set(run_ids) - completed:
        for strategy in _strategies(session, run_id):
            values = {"run": run_id, "strategy": strategy, "most": MOST_COUNTED + 1}
            of_one = dict(session.execute(text(_FIRST_SIMILARITIES), values).tuples().all())
            found[run_id][strategy] = Similarities(of_one, counted(sum(of_one.values())))
    return {run_id: of_run for run_id, of_run in found.items() if of_run}


def _some(session: Session, *conditions: ColumnElement[bool], by: InstrumentedAttribute[Any]) -> Counted:
    """How many rows there are for which all of this holds."""
    rows = some_rows(*conditions, by=by, most=MOST_COUNTED)
    return counted(session.scalar(select(func.count()).select_from(rows)) or 0, MOST_COUNTED)


def _strategies(session: Session, run_id: int) -> Iterator[str]:
    """The strategies that selected pairs of a run, each found by the index, however many pairs there are."""
    pair = curation.Pair
    first = select(func.min(pair.strategy)).where(pair.run_id == run_id)
    strategy = session.scalar(first)
    while strategy is not None:
        yield strategy
        strategy = session.scalar(first.where(pair.strategy > strategy))
