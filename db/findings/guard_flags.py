"""What the guard finds in a run's candidates, and what of it is left out of the pairing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session, aliased

from db.engine import insert_new, read_rows
from db.schema import curation
from db.statements.among import among
from models.guard.records import RULES, Finding, GuardCounts, GuardRule, RuleCount


class GuardedCandidate(NamedTuple):
    """A candidate of a run that repeats no other one's text, as the guard reads it.

    `is_left_out`: by `select.has_cut`, before the guard; `shard` and `row` are None where it has no vector.
    """

    prompt_id: int
    response_id: int
    text: str
    is_cut: bool
    is_left_out: bool
    shard: str | None
    row: int | None


class GuardFlag(NamedTuple):
    """One row of `guard_flags`: a rule that holds for a response of a run."""

    response_id: int
    prompt_id: int
    finding: Finding
    is_left_out: bool


@dataclass(frozen=True, slots=True)
class FlaggedResponse:
    """A response that a rule holds for, to be shown."""

    rule: GuardRule
    prompt: str
    response: str
    value: float
    is_left_out: bool


def guarded_candidates(
    session: Session, run_id: int, embedder_id: int, prompt_ids: Sequence[int]
) -> list[GuardedCandidate]:
    """The candidates of these prompts, those left out before among them, without repeated texts.

    By prompt, then by response id: those with a vector stand as `db.embeddings.vector_locations` gives them.
    """
    candidate, response, embedding = curation.Candidate, curation.Response, curation.Embedding
    is_vector = and_(embedding.response_id == candidate.response_id, embedding.embedder_id == embedder_id)
    query = (
        select(
            candidate.prompt_id, candidate.response_id, response.text, response.is_cut, candidate.is_left_out,
            embedding.shard, embedding.row,
        )
        .join(response, response.id == candidate.response_id)
        .outerjoin(embedding, is_vector & candidate.is_left_out.is_(False))
        .where(
            candidate.run_id == run_id, among(candidate.prompt_id, prompt_ids), candidate.duplicate_of_id.is_(None)
        )
        .order_by(candidate.prompt_id, candidate.response_id)
    )  # fmt: skip
    return [GuardedCandidate._make(row) for row in read_rows(session, query)]


def add_flags(session: Session, run_id: int, flags: Iterable[GuardFlag]) -> int:
    """Store what was found; what is stored already stays as it is. Returns how many were new."""
    rows = [
        {
            "run_id": run_id,
            "response_id": flag.response_id,
            "prompt_id": flag.prompt_id,
            "rule": flag.finding.rule,
            "value": flag.finding.value,
            "is_left_out": flag.is_left_out,
        }
        for flag in flags
    ]
    return insert_new(session, curation.GuardFlag, rows)


def guard_counts(session: Session, run_id: int) -> GuardCounts:
    """How many responses of a run the guard leaves out and marks, in all and by rule; nothing for older runs."""
    flag = curation.GuardFlag
    left_out = func.sum(case((flag.is_left_out, 1), else_=0))
    of_rules = {
        rule: RuleCount(rule, int(out), int(count) - int(out))
        for rule, out, count in session.execute(
            select(flag.rule, left_out, func.count()).where(flag.run_id == run_id).group_by(flag.rule)
        )
    }
    of_response = (
        select(func.max(case((flag.is_left_out, 1), else_=0)).label("is_out"))
        .where(flag.run_id == run_id)
        .group_by(flag.response_id)
        .subquery()
    )
    count, out = session.execute(select(func.count(), func.coalesce(func.sum(of_response.c.is_out), 0))).one()
    return GuardCounts(int(out), int(count) - int(out), tuple(of_rules[rule] for rule in RULES if rule in of_rules))


def left_out_source_pairs(session: Session, run_id: int) -> int:
    """How many pairs that sources made hold a response that the guard leaves out of the run, or one of its text."""
    pair, first, second = curation.SourcePair, aliased(curation.Candidate), aliased(curation.Candidate)
    ids = select(curation.GuardFlag.response_id).where(
        curation.GuardFlag.run_id == run_id, curation.GuardFlag.is_left_out
    )
    texts = [func.coalesce(one.duplicate_of_id, one.response_id) for one in (first, second)]
    query = (
        select(pair.first_response_id, pair.second_response_id)
        .join(first, (first.run_id == run_id) & (first.response_id == pair.first_response_id))
        .join(second, (second.run_id == run_id) & (second.response_id == pair.second_response_id))
        .where(texts[0].in_(ids) | texts[1].in_(ids), texts[0] != texts[1])
        .distinct()
    )
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def flagged_examples(session: Session, run_id: int, per_rule: int) -> list[FlaggedResponse]:
    """Some of the responses that each rule holds for, those left out first, by id."""
    flag = curation.GuardFlag
    place = func.row_number().over(partition_by=flag.rule, order_by=(flag.is_left_out.desc(), flag.response_id))
    ranked = (
        select(flag.rule, flag.prompt_id, flag.response_id, flag.value, flag.is_left_out, place.label("place"))
        .where(flag.run_id == run_id)
        .subquery()
    )
    query = (
        select(ranked.c.rule, curation.Prompt.text, curation.Response.text, ranked.c.value, ranked.c.is_left_out)
        .join(curation.Prompt, curation.Prompt.id == ranked.c.prompt_id)
        .join(curation.Response, curation.Response.id == ranked.c.response_id)
        .where(ranked.c.place <= per_rule)
        .order_by(ranked.c.place)
    )
    found = [FlaggedResponse(*row) for row in session.execute(query)]
    return sorted(found, key=lambda one: list(RULES).index(one.rule))
