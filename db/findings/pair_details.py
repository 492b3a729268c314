"""All that is known of one pair: its texts, where they came from, who selected it, who said what of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.engine import as_utc
from db.prompts import prompt_from_json
from db.runs import CALIBRATE
from db.schema import curation, labels
from models.labelling.records import PairKey
from models.records import Prompt

OTHERS = 64


@dataclass(frozen=True, slots=True)
class ResponseDetails:
    """A response with what wrote it. `flags`: the guard's rules that hold for it, in any run."""

    id: int
    text: str
    thought: str | None
    model: str | None
    backend: str
    parameters: dict[str, Any] | None
    seed: int | None
    sample_index: int | None
    token_count: int | None
    finish_reason: str | None
    flags: tuple[str, ...]


class Selection(NamedTuple):
    """A run and strategy that selected the pair. `rank` 1 is the least similar of the prompt's `pair_count` pairs."""

    pair_id: int
    run_id: int
    run: str
    strategy: str
    similarity: float
    rank: int
    pair_count: int
    length_ratio: float
    created_at: datetime


class Said(NamedTuple):
    """One annotator's verdict on the pair, with the response that was shown on the left."""

    annotator: str
    kind: str
    verdict: str
    left_response_id: int
    probability: float | None
    strength: float | None
    seconds: float | None
    rationale: str | None
    judged_at: datetime


class ByRule(NamedTuple):
    """What a rule makes of the pair's votes."""

    rule: str
    outcome: str
    support: float
    vote_count: int


class Other(NamedTuple):
    """Another response to the prompt, with its similarity to the pair's two where a run stored one."""

    response: ResponseDetails
    to_first: float | None
    to_second: float | None


@dataclass(frozen=True, slots=True)
class PairDetails:
    """A pair and everything around it. `others`: responses to the prompt; near the pair comes first."""

    prompt_id: int
    prompt: Prompt
    first: ResponseDetails
    second: ResponseDetails
    sources: tuple[str, ...]
    selections: tuple[Selection, ...]
    said: tuple[Said, ...]
    by_rule: tuple[ByRule, ...]
    others: tuple[Other, ...]


def pair_details(session: Session, pair: PairKey) -> PairDetails:
    """What is stored of a pair.

    Raises:
        LookupError: If the two are not responses to one prompt, the lower id first.
    """
    responses = _responses(session, pair)
    if len(responses) < 2 or pair[0] >= pair[1]:
        raise LookupError(f"there is no pair {pair[0]}-{pair[1]}: two responses to one prompt, the lower id first")
    prompt = session.get_one(curation.Prompt, _prompt_id(session, pair[0]))
    if prompt.id != _prompt_id(session, pair[1]):
        raise LookupError(f"responses {pair[0]} and {pair[1]} are not of one prompt; there is no such pair")
    return PairDetails(
        prompt.id,
        prompt_from_json(prompt.messages),
        responses[pair[0]],
        responses[pair[1]],
        _sources(session, prompt),
        _selections(session, pair),
        _said(session, pair),
        _by_rule(session, pair),
        _others(session, prompt.id, pair),
    )


def _prompt_id(session: Session, response_id: int) -> int:
    return session.scalars(select(curation.Response.prompt_id).filter_by(id=response_id)).one()


def _responses(session: Session, ids: tuple[int, ...]) -> dict[int, ResponseDetails]:
    flag = curation.GuardFlag
    flags: dict[int, set[str]] = {}
    for id_, rule in session.execute(select(flag.response_id, flag.rule).where(flag.response_id.in_(ids))):
        flags.setdefault(id_, set()).add(rule)
    query = (
        select(curation.Response, curation.Generator)
        .join(curation.Generator, curation.Generator.id == curation.Response.generator_id)
        .where(curation.Response.id.in_(ids))
    )
    return {
        response.id: ResponseDetails(
            response.id, response.text, response.thought, generator.model, generator.backend, generator.parameters,
            response.seed if response.seed is not None else generator.seed, response.sample_index,
            response.token_count, response.finish_reason, tuple(sorted(flags.get(response.id, ()))),
        )
        for response, generator in session.execute(query).tuples()
    }  # fmt: skip


def _sources(session: Session, prompt: curation.Prompt) -> tuple[str, ...]:
    ids = [id_ for id_ in (prompt.id, prompt.derived_from_id) if id_ is not None]
    rows = select(curation.SourceRow.source_id).where(curation.SourceRow.prompt_id.in_(ids))
    names = select(curation.Source.name).where(curation.Source.id.in_(rows)).distinct()
    return tuple(session.scalars(names.order_by(curation.Source.name)))


def _selections(session: Session, pair: PairKey) -> tuple[Selection, ...]:
    table = curation.Pair
    query = (
        select(
            table.id, table.run_id, curation.Run.name, table.strategy, table.similarity, table.rank, table.pair_count,
            table.length_ratio, table.created_at,
        )
        .join(curation.Run, curation.Run.id == table.run_id)
        .where(table.first_response_id == pair[0], table.second_response_id == pair[1])
        .order_by(table.id)
    )  # fmt: skip
    return tuple(Selection(*row)._replace(created_at=as_utc(row.created_at)) for row in session.execute(query))


def _said(session: Session, pair: PairKey) -> tuple[Said, ...]:
    table = labels.Judgement
    query = (
        select(
            labels.Annotator.name, labels.Annotator.kind, table.verdict, table.left_response_id, table.probability,
            table.strength, table.seconds, table.rationale, table.created_at,
        )
        .join(labels.Annotator, labels.Annotator.id == table.annotator_id)
        .outerjoin(curation.Run, curation.Run.id == table.run_id)
        .where(table.first_response_id == pair[0], table.second_response_id == pair[1])
        .where(curation.Run.kind.is_distinct_from(CALIBRATE))  # what was said to measure an annotator is no vote
        .order_by(table.created_at, table.id)
    )  # fmt: skip
    return tuple(Said(*row)._replace(judged_at=as_utc(row.created_at)) for row in session.execute(query))


def _by_rule(session: Session, pair: PairKey) -> tuple[ByRule, ...]:
    """Rule by rule, so that the key, which begins with it, finds the pair."""
    table, found = labels.Preference, []
    rule = session.scalar(select(func.min(table.rule)))
    while rule is not None:
        key = {"rule": rule, "first_response_id": pair[0], "second_response_id": pair[1]}
        query = select(table.rule, table.outcome, table.support, table.vote_count).filter_by(**key)
        found += [ByRule(*row) for row in session.execute(query)]
        rule = session.scalar(select(func.min(table.rule)).where(table.rule > rule))
    return tuple(found)


def _others(session: Session, prompt_id: int, pair: PairKey) -> tuple[Other, ...]:
    query = select(curation.Response.id).where(
        curation.Response.prompt_id == prompt_id, curation.Response.id.not_in(pair)
    )
    ids = tuple(session.scalars(query.order_by(curation.Response.id).limit(OTHERS)))
    table = aliased(curation.Pair)
    stored = select(table.first_response_id, table.second_response_id, table.similarity).filter_by(prompt_id=prompt_id)
    similarities = {(first, second): value for first, second, value in session.execute(stored)}

    def similarity(one: int, other: int) -> float | None:
        return similarities.get((min(one, other), max(one, other)))

    others = [Other(one, *(similarity(one.id, of) for of in pair)) for one in _responses(session, ids).values()]
    return tuple(sorted(others, key=lambda one: (-max(one.to_first or -2, one.to_second or -2), one.response.id)))
