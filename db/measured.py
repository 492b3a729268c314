"""What earlier runs took, as far as what is stored tells: lengths, tokens, times. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.engine import as_utc
from db.runs import COMPLETED, CURATE
from db.schema import curation, labels
from db.schema.policies import Policy, TrainingMetric

LOOKED_AT = 10_000  # the newest so many rows tell enough
RUNS_LOOKED_AT, TRAININGS_LOOKED_AT = 5, 50


@dataclass(frozen=True, slots=True)
class MeasuredResponse:
    """A response that a model gave: its length, and when it was stored."""

    characters: int
    tokens: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class MeasuredJudgement:
    """A judgement: what it took, how long the texts were that it is about, and when it was stored."""

    characters: int
    requests: int
    input_tokens: int
    output_tokens: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class MeasuredTraining:
    """A training: its settings, the optimizer steps it made, the seconds it took."""

    settings: dict[str, Any]
    steps: int
    seconds: float


def responses_of(session: Session, model: str, *, max_tokens: int) -> list[MeasuredResponse]:
    """The newest responses of a model; of those cut at `max_tokens`, if there are any."""
    table = curation.Generator
    parameters = dict(session.execute(select(table.id, table.parameters).where(table.model == model)).tuples().all())
    ids = [id_ for id_, values in parameters.items() if (values or {}).get("max_tokens") == max_tokens]
    response = curation.Response
    query = (
        select(func.length(response.text), response.token_count, response.created_at)
        .where(response.generator_id.in_(ids or list(parameters)), response.token_count.is_not(None))
        .order_by(response.id.desc())
        .limit(LOOKED_AT)
    )
    return [MeasuredResponse(length, tokens or 0, as_utc(at)) for length, tokens, at in session.execute(query)]


def run_starts(session: Session) -> list[datetime]:
    """When runs were opened."""
    query = select(curation.Run.started_at).order_by(curation.Run.id.desc()).limit(LOOKED_AT)
    return [as_utc(started_at) for started_at in session.scalars(query)]


def embedding_rate(session: Session, *, backend: str, model: str) -> float | None:
    """How many responses a second an embedder took in the newest curations that sampled and embedded; None: none did.

    The time is that from the last response of a run to its first pair.
    """
    run, candidate, response = curation.Run, curation.Candidate, curation.Response
    query = (
        select(run.id, run.started_at)
        .join(curation.Embedder, curation.Embedder.id == run.embedder_id)
        .where(run.kind == CURATE, run.status == COMPLETED)
        .where(curation.Embedder.backend == backend, curation.Embedder.model == model)
        .order_by(run.id.desc())
        .limit(RUNS_LOOKED_AT)
    )
    count, seconds = 0, 0.0
    for run_id, started_at in session.execute(query).tuples().all():
        of_run = (
            select(func.count(), func.max(response.created_at))
            .join(candidate, candidate.response_id == response.id)
            .where(candidate.run_id == run_id, candidate.duplicate_of_id.is_(None), response.created_at >= started_at)
            .where(candidate.is_left_out.is_(False))
        )
        embedded, sampled_at = session.execute(of_run).one()
        paired_at = session.scalar(select(func.min(curation.Pair.created_at)).filter_by(run_id=run_id))
        if embedded and paired_at is not None:
            count, seconds = count + embedded, seconds + (as_utc(paired_at) - as_utc(sampled_at)).total_seconds()
    return count / seconds if seconds > 0 else None


def annotators_like(session: Session, kind: str, **settings: object) -> list[int]:
    """The ids of the annotators of a kind with these settings, whatever the others are."""
    query = select(labels.Annotator.id, labels.Annotator.settings).filter_by(kind=kind)
    return [
        id_
        for id_, stored in session.execute(query).tuples()
        if all(stored.get(name) == value for name, value in settings.items())
    ]


def judgements_of(session: Session, annotator_ids: Collection[int]) -> list[MeasuredJudgement]:
    """The newest judgements of these annotators."""
    table, first, second = labels.Judgement, aliased(curation.Response), aliased(curation.Response)
    characters = func.length(curation.Prompt.text) + func.length(first.text) + func.length(second.text)
    query = (
        select(characters, table.requests, table.input_tokens, table.output_tokens, table.created_at)
        .join(first, first.id == table.first_response_id)
        .join(second, second.id == table.second_response_id)
        .join(curation.Prompt, curation.Prompt.id == first.prompt_id)
        .where(table.annotator_id.in_(annotator_ids))
        .order_by(table.id.desc())
        .limit(LOOKED_AT)
    )
    return [
        MeasuredJudgement(length, requests, input_tokens, output_tokens, as_utc(at))
        for length, requests, input_tokens, output_tokens, at in session.execute(query)
    ]


def trainings(session: Session, *, model: str, method: str) -> list[MeasuredTraining]:
    """The newest trainings by a method in runs that align a model, from it or from what became of it on the way."""
    steps = (
        select(func.max(TrainingMetric.step))
        .where(TrainingMetric.policy_id == Policy.id, TrainingMetric.split == "train")
        .scalar_subquery()
    )
    query = (
        select(curation.Run.config, Policy.settings, steps, Policy.seconds)
        .join(curation.Run, curation.Run.id == Policy.run_id)
        .where(Policy.method == method, Policy.seconds.is_not(None))
        .order_by(Policy.id.desc())
        .limit(TRAININGS_LOOKED_AT)
    )
    return [
        MeasuredTraining(settings, count, seconds)
        for config, settings, count, seconds in session.execute(query).tuples()
        if count and seconds and config["model"]["name"] == model
    ]
