"""Responses as alignment takes them: a generator's samples, and the references of an SFT data set. No commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.engine import batches
from db.prompts import origins, prompt_from_json, stored_prompts
from db.schema import curation
from models.records import Prompt

LOOKUP_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A stored response with its prompt. `is_cut`: its sampling stopped at the token limit; imported ones are whole."""

    response_id: int
    prompt_id: int
    prompt: Prompt
    text: str
    sample_index: int
    is_cut: bool
    thought: str | None = None


def samples(session: Session, generator_id: int, prompt_ids: Sequence[int], *, count: int) -> list[Sample]:
    """The first `count` samples of a generator for each of these prompts, by prompt and sample."""
    response = curation.Response
    return _read(
        session,
        _query().where(response.generator_id == generator_id, response.sample_index < count),
        prompt_ids,
    )


def references(session: Session, prompt_ids: Sequence[int]) -> list[Sample]:
    """The first reference response of each of these prompts that has one.

    A reference was written for the question: where a prompt has none, the one of the prompt that it was made of, by
    putting a system message before it, is its.
    """
    found = _first_references(session, prompt_ids)
    lacking = sorted(set(prompt_ids) - found.keys())
    of_origin = origins(session, lacking)
    at_origin = _first_references(session, list(of_origin.values()))
    inherited = [id_ for id_, origin in of_origin.items() if origin in at_origin]
    for stored in stored_prompts(session, inherited):
        reference = at_origin[of_origin[stored.id]]
        found[stored.id] = replace(reference, prompt_id=stored.id, prompt=stored.prompt)
    return [found[id_] for id_ in sorted(found)]


def _first_references(session: Session, prompt_ids: Sequence[int]) -> dict[int, Sample]:
    stored_references = _read(session, _query().where(curation.Response.is_reference), prompt_ids)
    return {reference.prompt_id: reference for reference in reversed(stored_references)}


def _query() -> Select[Any]:
    response = curation.Response
    return select(
        response.id, response.prompt_id, curation.Prompt.messages, response.text, response.sample_index,
        response.is_cut, response.thought,
    ).join(curation.Prompt, curation.Prompt.id == response.prompt_id).order_by(
        response.prompt_id, response.sample_index, response.id
    )  # fmt: skip


def _read(session: Session, query: Select[Any], prompt_ids: Sequence[int]) -> list[Sample]:
    stored_samples = []
    for batch in batches(sorted(set(prompt_ids)), LOOKUP_BATCH):
        for id_, prompt_id, messages, text, index, is_cut, thought in session.execute(
            query.where(curation.Response.prompt_id.in_(batch))
        ):
            stored_samples.append(Sample(id_, prompt_id, prompt_from_json(messages), text, index or 0, is_cut, thought))
    return stored_samples
