"""What the guard finds in a run's candidates, and what of it is left out of the pairing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from db.engine import batches, insert_new, read_rows
from db.schema import curation
from db.statements.among import among
from models.guard.records import RULES, Finding, GuardCounts, GuardRule, RuleCount

_PROMPTS_PER_QUERY = 2_000


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
    """How many pairs that sources made hold a response that the guard leaves out of the run, or one of its text.

    Read by prompt, of which both responses of a pair are: a join of pairs with the run's candidates is planned by
    statistics that do not know the run yet.
    """
    pair, candidate, flag = curation.SourcePair, curation.Candidate, curation.GuardFlag
    if session.scalar(select(pair.source_id).limit(1)) is None:
        return 0
    left_out = select(flag.response_id, flag.prompt_id).where(flag.run_id == run_id, flag.is_left_out)
    prompt_of = dict(session.execute(left_out).tuples().all())
    count = 0
    for prompt_ids in batches(sorted(set(prompt_of.values())), _PROMPTS_PER_QUERY):
        texts = select(candidate.response_id, func.coalesce(candidate.duplicate_of_id, candidate.response_id))
        texts = texts.where(candidate.run_id == run_id, among(candidate.prompt_id, prompt_ids))
        text_of = dict(session.execute(texts).tuples().all())
        made = select(pair.first_response_id, pair.second_response_id).distinct()
        for first_id, second_id in read_rows(session, made.where(among(pair.first_response_id, text_of))):
            of_pair = {text_of[first_id], text_of.get(second_id)}
            count += None not in of_pair and len(of_pair) == 2 and not prompt_of.keys().isdisjoint(of_pair)
    return count


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
