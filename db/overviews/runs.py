"""Runs as the workbench shows them: a line each, what came of them, how alike the pairs are that they selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from db.overviews.counted import Counted, count_up_to, counted
from db.schema import curation, labels
from db.schema.policies import Policy

BIN = 0.005  # of the histograms of similarities


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
            *(count_up_to(table.run_id == run.id, run) for table in (prompt, pair, judgement)),
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


def pair_counts(session: Session, run_id: int) -> dict[str, int]:
    """How many pairs each strategy of a run selected."""
    strategy = curation.Pair.strategy
    query = select(strategy, func.count()).where(curation.Pair.run_id == run_id).group_by(strategy).order_by(strategy)
    return dict(session.execute(query).tuples().all())


def prompts_done(session: Session, run_id: int) -> int:
    """How many prompts of a run have a pair, or a reason why they have none."""
    pair, prompt = curation.Pair, curation.RunPrompt
    paired = select(func.count(pair.prompt_id.distinct())).where(pair.run_id == run_id)
    skipped = select(func.count()).where(prompt.run_id == run_id, prompt.skipped.is_not(None))
    return (session.scalar(paired) or 0) + (session.scalar(skipped) or 0)


def similarity_counts(session: Session, run_ids: Sequence[int]) -> dict[int, dict[str, dict[int, int]]]:
    """Pairs by run, strategy and similarity: bin k holds those from −1 + k `BIN` up to the next."""
    pair = curation.Pair
    # Not floor(), which some builds of SQLite lack, nor a cast alone: PostgreSQL's rounds.
    place = cast(func.round((pair.similarity + 1.0) / BIN - 0.5), Integer)
    query = (
        select(pair.run_id, pair.strategy, place, func.count())
        .where(pair.run_id.in_(run_ids))
        .group_by(pair.run_id, pair.strategy, place)
        .order_by(pair.run_id, pair.strategy, place)
    )
    counts: dict[int, dict[str, dict[int, int]]] = {}
    for run_id, strategy, at, count in session.execute(query):
        counts.setdefault(run_id, {}).setdefault(strategy, {})[at] = count
    return counts
