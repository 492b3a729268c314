"""Responses, generators, embedders and where vectors lie. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.orm import Session

from db import schema
from db.engine import insert_new
from db.prompts import prompt_from_json
from models.records import (
    EmbedderIdentity,
    GeneratedResponse,
    GeneratorIdentity,
    StoredPrompt,
    StoredResponse,
    VectorLocation,
    content_key,
    first_of_equals,
)


@dataclass(frozen=True, slots=True)
class NewResponse:
    """A generated response on its way into the database."""

    prompt: StoredPrompt
    sample_index: int
    response: GeneratedResponse


@dataclass(frozen=True, slots=True)
class NewEmbedding:
    """Where a response's vector was written; `shard` and `row` are None for a response without a token."""

    response_id: int
    shard: str | None
    row: int | None
    token_count: int
    is_truncated: bool


def ensure_generator(session: Session, generator: GeneratorIdentity) -> int:
    """Return the id of this generator, made if it is new."""
    insert_new(session, schema.Generator, [{"key": generator.key, **asdict(generator)}])
    return session.scalars(select(schema.Generator.id).filter_by(key=generator.key)).one()


def add_generated(
    session: Session, generator_id: int, generator: GeneratorIdentity, responses: Iterable[NewResponse]
) -> int:
    """Store generated responses; a sample that is stored already stays as it is. Returns how many were new."""
    rows = [
        {
            "key": content_key(new.prompt.prompt.key, generator.key, new.sample_index),
            "prompt_id": new.prompt.id,
            "generator_id": generator_id,
            "sample_index": new.sample_index,
            "text": new.response.text,
            "seed": new.response.seed,
            "token_count": new.response.token_count,
            "finish_reason": new.response.finish_reason,
        }
        for new in responses
    ]
    return insert_new(session, schema.Response, rows)


def generated_texts(session: Session, generator_id: int, prompt_ids: Sequence[int]) -> dict[int, dict[int, str]]:
    """What a generator has stored for these prompts: prompt id → sample index → text."""
    query = select(schema.Response.prompt_id, schema.Response.sample_index, schema.Response.text).where(
        schema.Response.generator_id == generator_id, schema.Response.prompt_id.in_(prompt_ids)
    )
    texts: dict[int, dict[int, str]] = defaultdict(dict)
    for prompt_id, sample_index, text in session.execute(query):
        texts[prompt_id][sample_index or 0] = text
    return texts


def own_response_counts(session: Session, prompt_ids: Sequence[int]) -> dict[int, int]:
    """How many different responses of their own (imported, no reference) these prompts brought."""
    query = (
        select(schema.Response.prompt_id, func.count(schema.Response.text.distinct()))
        .join(schema.Generator, schema.Generator.id == schema.Response.generator_id)
        .where(schema.Response.prompt_id.in_(prompt_ids), *_IS_OWN)
        .group_by(schema.Response.prompt_id)
    )
    return dict(session.execute(query).tuples().all())


def add_candidates(
    session: Session,
    run_id: int,
    prompt_ids: Sequence[int],
    *,
    sample_counts: dict[int, dict[int, int]],
    has_references: bool = False,
) -> int:
    """Fix which responses of these prompts a run may pair, and which of them repeat an earlier one's text.

    Args:
        session: An open session.
        run_id: The run.
        prompt_ids: Prompts of the run.
        sample_counts: generator id → prompt id → how many of the generator's samples count (indices below it).
            A prompt's own responses always count.
        has_references: Whether reference responses count too.
    """
    generators = list(sample_counts)
    query = (
        select(schema.Response)
        .join(schema.Generator, schema.Generator.id == schema.Response.generator_id)
        .where(
            schema.Response.prompt_id.in_(prompt_ids),
            (_IS_IMPORTED if has_references else and_(*_IS_OWN)) | schema.Response.generator_id.in_(generators),
        )
        .order_by(schema.Response.prompt_id, schema.Response.id)
    )
    by_prompt: dict[int, list[schema.Response]] = defaultdict(list)
    for response in session.scalars(query):
        wanted = sample_counts.get(response.generator_id, {}).get(response.prompt_id, 0)
        if response.sample_index is None or response.sample_index < wanted:
            by_prompt[response.prompt_id].append(response)
    rows = []
    for prompt_id, responses in by_prompt.items():
        firsts = first_of_equals([response.text for response in responses])
        rows += [
            {
                "run_id": run_id,
                "prompt_id": prompt_id,
                "response_id": response.id,
                "duplicate_of_id": None if first == position else responses[first].id,
            }
            for position, (response, first) in enumerate(zip(responses, firsts, strict=True))
        ]
    return insert_new(session, schema.Candidate, rows)


def ensure_embedder(session: Session, embedder: EmbedderIdentity) -> int:
    """Return the id of this embedder, made if it is new."""
    row = {
        "key": embedder.key,
        "backend": embedder.backend,
        "model": embedder.model,
        "fingerprint": embedder.fingerprint,
        "settings": {"context": embedder.context, "max_tokens": embedder.max_tokens, "dtype": embedder.dtype},
    }
    insert_new(session, schema.Embedder, [row])
    return session.scalars(select(schema.Embedder.id).filter_by(key=embedder.key)).one()


def forget_missing_shards(session: Session, embedder_id: int, shards: Collection[str]) -> None:
    """Forget vectors whose shard is not in the store any more, so that they are embedded anew."""
    of_embedder = schema.Embedding.embedder_id == embedder_id
    known = set(session.scalars(select(schema.Embedding.shard).where(of_embedder).distinct())) - {None}
    for missing in known - set(shards):
        session.execute(delete(schema.Embedding).where(of_embedder, schema.Embedding.shard == missing))


def responses_to_embed(
    session: Session, run_id: int, embedder_id: int, *, after: int, size: int
) -> list[StoredResponse]:
    """The next `size` candidates of a run, id above `after`, that this embedder has yet to embed; no duplicates."""
    query = (
        select(schema.Response.id, schema.Prompt.messages, schema.Response.text)
        .select_from(schema.Candidate)
        .join(schema.Response, schema.Response.id == schema.Candidate.response_id)
        .join(schema.Prompt, schema.Prompt.id == schema.Response.prompt_id)
        .where(*_lacks_embedding(run_id, embedder_id), schema.Candidate.response_id > after)
        .order_by(schema.Candidate.response_id)
        .limit(size)
    )
    return [StoredResponse(id_, prompt_from_json(messages), text) for id_, messages, text in session.execute(query)]


def count_to_embed(session: Session, run_id: int, embedder_id: int) -> int:
    """How many candidates of a run this embedder has yet to embed."""
    query = select(func.count()).select_from(schema.Candidate).where(*_lacks_embedding(run_id, embedder_id))
    return session.scalar(query) or 0


def add_embeddings(session: Session, embedder_id: int, embeddings: Iterable[NewEmbedding]) -> int:
    """Store where vectors lie. Returns how many were new."""
    return insert_new(session, schema.Embedding, [{"embedder_id": embedder_id, **asdict(new)} for new in embeddings])


def vector_locations(
    session: Session, run_id: int, embedder_id: int, prompt_ids: Sequence[int]
) -> list[VectorLocation]:
    """Vectors of these prompts' candidates that can be paired: no duplicate, no response without a token.

    By prompt, then by response id, so that groups are contiguous and ties fall on the lower id.
    """
    query = (
        select(schema.Candidate.prompt_id, schema.Candidate.response_id, schema.Embedding.shard, schema.Embedding.row)
        .join(schema.Embedding, schema.Embedding.response_id == schema.Candidate.response_id)
        .where(
            schema.Candidate.run_id == run_id,
            schema.Candidate.prompt_id.in_(prompt_ids),
            schema.Candidate.duplicate_of_id.is_(None),
            schema.Embedding.embedder_id == embedder_id,
            schema.Embedding.shard.is_not(None),
        )
        .order_by(schema.Candidate.prompt_id, schema.Candidate.response_id)
    )
    return [VectorLocation(*row) for row in session.execute(query)]


def newest_embedder_of(session: Session, response_id: int) -> schema.Embedder:
    """The embedder that embedded this response last.

    Raises:
        LookupError: If there is no such response, or nothing has embedded it.
    """
    query = (
        select(schema.Embedder)
        .join(schema.Embedding, schema.Embedding.embedder_id == schema.Embedder.id)
        .where(schema.Embedding.response_id == response_id, schema.Embedding.shard.is_not(None))
        .order_by(schema.Embedder.id.desc())
        .limit(1)
    )
    embedder = session.scalar(query)
    if embedder is None:
        known = session.get(schema.Response, response_id) is not None
        raise LookupError(
            f"response {response_id} has no vector: it repeats another response's text, is empty or not embedded yet"
            if known
            else f"there is no response {response_id}; ids are in the pairs: antipode pairs"
        )
    return embedder


def embedder_of_run(session: Session, run_id: int) -> schema.Embedder:
    """The embedder whose vectors a run uses.

    Raises:
        LookupError: If the run did not get as far as embedding.
    """
    query = select(schema.Embedder).join(schema.Run, schema.Run.embedder_id == schema.Embedder.id)
    embedder = session.scalar(query.where(schema.Run.id == run_id))
    if embedder is None:
        raise LookupError(f"run {run_id} has embedded nothing yet; give its command again, and it goes on")
    return embedder


def vector_of(session: Session, embedder_id: int, response_id: int) -> VectorLocation:
    """Where an embedder's vector of this response lies."""
    query = (
        select(schema.Response.prompt_id, schema.Response.id, schema.Embedding.shard, schema.Embedding.row)
        .join(schema.Embedding, schema.Embedding.response_id == schema.Response.id)
        .where(schema.Response.id == response_id, schema.Embedding.embedder_id == embedder_id)
    )
    return VectorLocation(*session.execute(query).one())


def embedded_rows(session: Session, embedder_id: int) -> Iterator[tuple[str, list[int], list[int]]]:
    """All vectors of an embedder, shard by shard: the shard, the response ids, their rows in it."""
    query = (
        select(schema.Embedding.shard, schema.Embedding.response_id, schema.Embedding.row)
        .where(schema.Embedding.embedder_id == embedder_id, schema.Embedding.shard.is_not(None))
        .order_by(schema.Embedding.shard, schema.Embedding.row)
    )
    found = session.execute(query, execution_options={"yield_per": 10_000})
    for shard, rows in groupby(found.tuples(), key=lambda row: row[0] or ""):
        _, ids, places = zip(*rows, strict=True)
        yield shard, list(ids), list(places)


def shown_responses(session: Session, response_ids: Sequence[int]) -> dict[int, tuple[str, str, str | None]]:
    """What a person wants to see of these responses: id → prompt, text, model."""
    query = (
        select(schema.Response.id, schema.Prompt.text, schema.Response.text, schema.Generator.model)
        .join(schema.Prompt, schema.Prompt.id == schema.Response.prompt_id)
        .join(schema.Generator, schema.Generator.id == schema.Response.generator_id)
        .where(schema.Response.id.in_(response_ids))
    )
    return {id_: (prompt, text, model) for id_, prompt, text, model in session.execute(query)}


_IS_IMPORTED = schema.Generator.backend == "imported"
_IS_OWN = (_IS_IMPORTED, schema.Response.is_reference.is_(False))


def _lacks_embedding(run_id: int, embedder_id: int) -> tuple[ColumnElement[bool], ...]:
    embedded = (
        select(schema.Embedding.response_id)
        .where(
            schema.Embedding.embedder_id == embedder_id,
            schema.Embedding.response_id == schema.Candidate.response_id,
        )
        .exists()
    )
    return (schema.Candidate.run_id == run_id, schema.Candidate.duplicate_of_id.is_(None), ~embedded)
