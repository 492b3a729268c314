"""Responses and generators, and which responses a run may pair. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from db.engine import batches, insert_new, read_rows
from db.schema import curation
from db.statements.among import among
from models.records import (
    GeneratedResponse,
    GeneratorIdentity,
    StoredPrompt,
    first_of_equals,
    numbered_keys,
)

_IDS_PER_QUERY = 10_000


class _Candidate(NamedTuple):
    """What decides whether a stored response may be paired."""

    id: int
    text: str
    thought: str | None
    is_cut: bool


class NewResponse(NamedTuple):
    """A generated response on its way into the database."""

    prompt: StoredPrompt
    sample_index: int
    response: GeneratedResponse


class CandidateCounts(NamedTuple):
    """The responses of a run, those it leaves out since they were cut, and its prompts that have responses.

    `paired`: prompts with two different responses left; `short`: those with fewer, of which some were left out.
    """

    responses: int
    left_out: int
    paired: int
    short: int


def ensure_generator(session: Session, generator: GeneratorIdentity) -> int:
    """Return the id of this generator, made if it is new."""
    insert_new(session, curation.Generator, [{"key": generator.key, **generator.settings}])
    return session.scalars(select(curation.Generator.id).filter_by(key=generator.key)).one()


def find_generator(session: Session, generator: GeneratorIdentity) -> int | None:
    """The id of this generator, None if it has given nothing yet."""
    return session.scalar(select(curation.Generator.id).filter_by(key=generator.key))


def add_generated(
    session: Session, generator_id: int, generator: GeneratorIdentity, responses: Iterable[NewResponse]
) -> int:
    """Store generated responses; a sample that is stored already stays as it is. Returns how many were new."""
    generator_key, new = generator.key, list(responses)
    indices: dict[int, list[int]] = defaultdict(list)
    for one in new:
        indices[one.prompt.id].append(one.sample_index)
    keys: dict[int, Iterator[str]] = {}  # of a prompt's responses, as they come
    rows = []
    for prompt, sample_index, response in new:
        if prompt.id not in keys:
            keys[prompt.id] = iter(numbered_keys((prompt.prompt.key, generator_key), indices[prompt.id]))
        rows.append({
            "key": next(keys[prompt.id]),
            "prompt_id": prompt.id,
            "generator_id": generator_id,
            "sample_index": sample_index,
            "text": response.text,
            "thought": response.thought,
            "seed": response.seed,
            "token_count": response.token_count,
            "finish_reason": response.finish_reason,
        })  # fmt: skip
    return insert_new(session, curation.Response, rows)


def generated_texts(session: Session, generator_id: int, prompt_ids: Sequence[int]) -> dict[int, dict[int, str]]:
    """What a generator has stored for these prompts: prompt id → sample index → text."""
    query = select(curation.Response.prompt_id, curation.Response.sample_index, curation.Response.text).where(
        curation.Response.generator_id == generator_id, among(curation.Response.prompt_id, prompt_ids)
    )
    texts: dict[int, dict[int, str]] = defaultdict(dict)
    for prompt_id, sample_index, text in read_rows(session, query):
        texts[prompt_id][sample_index or 0] = text
    return texts


def own_response_counts(session: Session, prompt_ids: Sequence[int], *, has_references: bool = False) -> dict[int, int]:
    """How many different responses of their own (imported; references only if asked for) these prompts brought."""
    query = (
        select(curation.Response.prompt_id, func.count(curation.Response.text.distinct()))
        .join(curation.Generator, curation.Generator.id == curation.Response.generator_id)
        .where(among(curation.Response.prompt_id, prompt_ids), *([_IS_IMPORTED] if has_references else _IS_OWN))
        .group_by(curation.Response.prompt_id)
    )
    return dict(session.execute(query).tuples().all())


def add_candidates(
    session: Session,
    run_id: int,
    prompt_ids: Sequence[int],
    *,
    sample_counts: dict[int, dict[int, int]],
    has_references: bool = False,
    has_cut: bool = True,
) -> int:
    """Fix which responses of these prompts a run may pair, and which of them repeat an earlier one's text.

    What is left out is stored as such, to be counted; it stands in for no other text. A response that ended within its
    thought has no answer to compare, and is always left out.

    Args:
        session: An open session.
        run_id: The run.
        prompt_ids: Prompts of the run.
        sample_counts: generator id → prompt id → how many of the generator's samples count (indices below it).
            A prompt's own responses always count.
        has_references: Whether reference responses count too.
        has_cut: Whether responses that were cut at the token limit may be paired; else they are left out.
    """
    rows: list[dict[str, object]] = []
    for prompt_id, responses in _candidates(session, prompt_ids, sample_counts, has_references).items():
        taken = [response for response in responses if _is_taken(response, has_cut)]
        firsts = first_of_equals([response.text for response in taken])
        of_prompt = {"run_id": run_id, "prompt_id": prompt_id}
        rows += [
            of_prompt
            | {
                "response_id": response.id,
                "duplicate_of_id": None if first == position else taken[first].id,
                "is_left_out": False,
            }
            for position, (response, first) in enumerate(zip(taken, firsts, strict=True))
        ]
        left_out = [response for response in responses if not _is_taken(response, has_cut)]
        rows += [
            of_prompt | {"response_id": response.id, "duplicate_of_id": None, "is_left_out": True}
            for response in left_out
        ]
    return insert_new(session, curation.Candidate, rows)


def different_candidates(
    session: Session,
    prompt_ids: Sequence[int],
    *,
    sample_counts: dict[int, dict[int, int]],
    has_references: bool = False,
    has_cut: bool = True,
) -> list[int]:
    """The stored responses that `add_candidates` would take for these prompts, without those that repeat another."""
    of_prompts = _candidates(session, prompt_ids, sample_counts, has_references).values()
    taken = [[response for response in responses if _is_taken(response, has_cut)] for responses in of_prompts]
    return [
        responses[position].id
        for responses in taken
        for position in sorted(set(first_of_equals([response.text for response in responses])))
    ]


def candidate_counts(session: Session, run_id: int) -> CandidateCounts:
    """How many responses a run has, and what leaving out the cut ones does to its prompts."""
    candidate = curation.Candidate
    left_out = func.sum(case((candidate.is_left_out, 1), else_=0)).label("left_out")
    is_different = candidate.is_left_out.is_(False) & candidate.duplicate_of_id.is_(None)
    different = func.sum(case((is_different, 1), else_=0)).label("different")
    prompt = (
        select(func.count().label("responses"), left_out, different)
        .where(candidate.run_id == run_id)
        .group_by(candidate.prompt_id)
        .subquery()
    )
    has_pair = prompt.c.different >= 2
    counts = session.execute(
        select(
            func.coalesce(func.sum(prompt.c.responses), 0),
            func.coalesce(func.sum(prompt.c.left_out), 0),
            func.coalesce(func.sum(case((has_pair, 1), else_=0)), 0),
            func.coalesce(func.sum(case((~has_pair & (prompt.c.left_out > 0), 1), else_=0)), 0),
        )
    ).one()
    return CandidateCounts(*map(int, counts))


def prompts_left_short(session: Session, run_id: int, prompt_ids: Sequence[int]) -> set[int]:
    """Which of these prompts have responses that the run leaves out."""
    query = select(curation.Candidate.prompt_id).where(
        curation.Candidate.run_id == run_id,
        among(curation.Candidate.prompt_id, prompt_ids),
        curation.Candidate.is_left_out,
    )
    return set(session.scalars(query))


def _candidates(
    session: Session, prompt_ids: Sequence[int], sample_counts: dict[int, dict[int, int]], has_references: bool
) -> dict[int, list[_Candidate]]:
    """The stored responses that may be paired, by prompt."""
    generators, table = list(sample_counts), curation.Response
    columns = table.id, table.prompt_id, table.generator_id, table.sample_index, table.text, table.thought, table.is_cut
    query = (
        select(*columns)
        .join(curation.Generator, curation.Generator.id == curation.Response.generator_id)
        .where(
            among(curation.Response.prompt_id, prompt_ids),
            (_IS_IMPORTED if has_references else and_(*_IS_OWN)) | curation.Response.generator_id.in_(generators),
        )
        .order_by(curation.Response.prompt_id, curation.Response.id)
    )
    by_prompt: dict[int, list[_Candidate]] = defaultdict(list)
    for id_, prompt_id, generator_id, sample_index, *texts in read_rows(session, query):
        if sample_index is None or sample_index < sample_counts.get(generator_id, {}).get(prompt_id, 0):
            by_prompt[prompt_id].append(_Candidate(id_, *texts))
    return by_prompt


def _is_taken(response: _Candidate, has_cut: bool) -> bool:
    is_within_thought = response.thought is not None and not response.text.strip()
    return not is_within_thought and (has_cut or not response.is_cut)


def text_lengths(session: Session, response_ids: Sequence[int]) -> dict[int, int]:
    """How many characters these responses have, by id: what a reader sees, the same whichever model wrote them."""
    query = select(curation.Response.id, func.length(curation.Response.text))
    return {
        id_: length
        for batch in batches(response_ids, _IDS_PER_QUERY)
        for id_, length in read_rows(session, query.where(among(curation.Response.id, batch)))
    }


def candidate_texts(session: Session, run_id: int, prompt_ids: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
    """The different responses that a run may pair: prompt id → their ids and texts, by id."""
    table = curation.Candidate
    query = (
        select(table.prompt_id, curation.Response.id, curation.Response.text)
        .join(curation.Response, curation.Response.id == table.response_id)
        .where(table.run_id == run_id, among(table.prompt_id, prompt_ids))
        .where(table.duplicate_of_id.is_(None), table.is_left_out.is_(False))
        .order_by(curation.Response.id)
    )
    texts: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for prompt_id, response_id, text in read_rows(session, query):
        texts[prompt_id].append((response_id, text))
    return texts


def shown_responses(session: Session, response_ids: Sequence[int]) -> dict[int, tuple[str, str, str | None]]:
    """What a person wants to see of these responses: id → prompt, text, model."""
    query = (
        select(curation.Response.id, curation.Prompt.text, curation.Response.text, curation.Generator.model)
        .join(curation.Prompt, curation.Prompt.id == curation.Response.prompt_id)
        .join(curation.Generator, curation.Generator.id == curation.Response.generator_id)
        .where(curation.Response.id.in_(response_ids))
    )
    return {id_: (prompt, text, model) for id_, prompt, text, model in session.execute(query)}


_IS_IMPORTED = curation.Generator.backend == "imported"
_IS_OWN = (_IS_IMPORTED, curation.Response.is_reference.is_(False))
