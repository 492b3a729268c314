"""Embedders, and where the vectors of responses and prompts lie. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, distinct, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.engine import batches, insert_new, read_rows, record_of, stream_rows
from db.prompts import LOOKUP_BATCH, prompt_from_json, stored_prompts
from db.schema import curation
from db.schema.counts import RunCounts
from db.statements.among import among
from models.records import Embedded, EmbedderIdentity, StoredPrompt, StoredResponse, VectorLocation

# Where the places of vectors are stored, and by which id.
_Places = type[curation.Embedding] | type[curation.PromptEmbedding]
_PLACES: dict[Embedded, tuple[_Places, InstrumentedAttribute[int]]] = {
    "responses": (curation.Embedding, curation.Embedding.response_id),
    "prompts": (curation.PromptEmbedding, curation.PromptEmbedding.prompt_id),
}


class NewEmbedding(NamedTuple):
    """Where a response's vector was written; `shard` and `row` are None for a response without a token."""

    response_id: int
    shard: str | None
    row: int | None
    token_count: int
    is_truncated: bool


class NewPromptEmbedding(NamedTuple):
    """Where a prompt's own vector was written; `shard` and `row` are None for a prompt without a token."""

    prompt_id: int
    shard: str | None
    row: int | None
    token_count: int
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class EmbedderRecord:
    """One row of `embedders`; its vectors lie in the store's folder of the same key."""

    id: int
    key: str
    backend: str
    model: str
    fingerprint: str
    settings: dict[str, Any]


def ensure_embedder(session: Session, embedder: EmbedderIdentity) -> int:
    """Return the id of this embedder, made if it is new."""
    row = {
        "key": embedder.key,
        "backend": embedder.backend,
        "model": embedder.model,
        "fingerprint": embedder.fingerprint,
        "settings": {"context": embedder.context, "max_tokens": embedder.max_tokens, "dtype": embedder.dtype},
    }
    insert_new(session, curation.Embedder, [row])
    return session.scalars(select(curation.Embedder.id).filter_by(key=embedder.key)).one()


def list_embedders(session: Session) -> list[EmbedderRecord]:
    """All embedders, oldest first."""
    return [record_of(EmbedderRecord, row) for row in session.scalars(select(curation.Embedder).order_by("id"))]


def recorded_shards(
    session: Session, embedder_id: int, run_id: int | None = None, *, of: Embedded = "responses"
) -> dict[str, int]:
    """The shards that an embedder's vectors lie in, with the number of vectors; only those that a run uses."""
    table, id_ = _PLACES[of]
    query = (
        select(table.shard, func.count(distinct(id_)))
        .where(table.embedder_id == embedder_id, table.shard.is_not(None))
        .group_by(table.shard)
        .order_by(table.shard)
    )
    if run_id is not None and of == "prompts":
        is_of_run = (curation.RunPrompt.prompt_id == id_) & (curation.RunPrompt.run_id == run_id)
        query = query.join(curation.RunPrompt, is_of_run)
    elif run_id is not None:
        is_candidate = curation.Candidate.response_id == curation.Embedding.response_id
        query = query.join(curation.Candidate, is_candidate).where(*_embeds(run_id))
    return {shard or "": count for shard, count in session.execute(query)}


def runs_using(session: Session, embedder_id: int, shards: Collection[str], *, of: Embedded = "responses") -> list[int]:
    """The runs whose candidates, or prompts, have their vectors in these shards, in order."""
    run_ids: set[int] = set()
    for batch in batches(shards, LOOKUP_BATCH):
        if of == "prompts":
            place = curation.PromptEmbedding
            of_prompts = (
                select(curation.RunPrompt.run_id)
                .join(place, place.prompt_id == curation.RunPrompt.prompt_id)
                .join(curation.Run, curation.Run.id == curation.RunPrompt.run_id)
                .where(place.embedder_id == embedder_id, curation.Run.embedder_id == embedder_id)
                .where(place.shard.in_(batch))
            )
            run_ids |= set(session.scalars(of_prompts.distinct()))
            continue
        query = (
            select(curation.Candidate.run_id)
            .join(curation.Embedding, curation.Embedding.response_id == curation.Candidate.response_id)
            .join(curation.Run, curation.Run.id == curation.Candidate.run_id)
            .where(curation.Embedding.embedder_id == embedder_id, curation.Run.embedder_id == embedder_id)
            .where(curation.Candidate.is_left_out.is_(False))
            .where(curation.Embedding.shard.in_(batch))
        )
        run_ids |= set(session.scalars(query.distinct()))
    return sorted(run_ids)


def forget_shard(session: Session, embedder_id: int, shard: str, *, of: Embedded = "responses") -> int:
    """Forget the vectors of one shard, so that a run that needs them embeds them anew; return how many there were.

    What this embedder's runs come to is counted anew each time from here on.
    """
    table, _ = _PLACES[of]
    of_shard = (table.embedder_id == embedder_id, table.shard == shard)
    count = session.scalar(select(func.count()).select_from(table).where(*of_shard)) or 0
    session.execute(delete(table).where(*of_shard))
    if of == "responses":
        run_ids = select(curation.Run.id).where(curation.Run.embedder_id == embedder_id)
        session.execute(delete(RunCounts).where(RunCounts.run_id.in_(run_ids)))
    return count


def responses_to_embed(
    session: Session, run_id: int, embedder_id: int, *, after: int, size: int
) -> list[StoredResponse]:
    """The next `size` candidates of a run, id above `after`, that this embedder has yet to embed; no duplicates."""
    query = (
        select(curation.Response.id, curation.Response.prompt_id, curation.Response.text, curation.Response.thought)
        .select_from(curation.Candidate)
        .join(curation.Response, curation.Response.id == curation.Candidate.response_id)
        .where(*_lacks_embedding(run_id, embedder_id), curation.Candidate.response_id > after)
        .order_by(curation.Candidate.response_id)
        .limit(size)
    )
    rows = read_rows(session, query)
    ids = list(dict.fromkeys(prompt_id for _, prompt_id, *_ in rows))
    prompts = {one.id: one.prompt for one in stored_prompts(session, ids)}  # each is read once, not once a response
    return [StoredResponse(id_, prompts[prompt_id], text, thought) for id_, prompt_id, text, thought in rows]


def count_to_embed(session: Session, run_id: int, embedder_id: int) -> int:
    """How many candidates of a run this embedder has yet to embed."""
    query = select(func.count()).select_from(curation.Candidate).where(*_lacks_embedding(run_id, embedder_id))
    return session.scalar(query) or 0


def prompts_to_embed(session: Session, run_id: int, embedder_id: int, *, after: int, size: int) -> list[StoredPrompt]:
    """The next `size` prompts of a run, id above `after`, that this embedder has yet to embed."""
    query = (
        select(curation.Prompt.id, curation.Prompt.messages)
        .join(curation.RunPrompt, curation.RunPrompt.prompt_id == curation.Prompt.id)
        .where(*_lacks_prompt_embedding(run_id, embedder_id), curation.RunPrompt.prompt_id > after)
        .order_by(curation.RunPrompt.prompt_id)
        .limit(size)
    )
    return [StoredPrompt(id_, prompt_from_json(messages)) for id_, messages in read_rows(session, query)]


def count_prompts_to_embed(session: Session, run_id: int, embedder_id: int) -> int:
    """How many prompts of a run this embedder has yet to embed."""
    query = select(func.count()).select_from(curation.RunPrompt).where(*_lacks_prompt_embedding(run_id, embedder_id))
    return session.scalar(query) or 0


def embedded_among(session: Session, embedder_key: str, ids: Sequence[int], *, of: Embedded = "responses") -> int:
    """How many of these responses, or prompts, the embedder of this key has embedded."""
    table, id_ = _PLACES[of]
    query = (
        select(func.count())
        .select_from(table)
        .join(curation.Embedder, curation.Embedder.id == table.embedder_id)
        .where(curation.Embedder.key == embedder_key)
    )
    return sum(session.scalar(query.where(id_.in_(batch))) or 0 for batch in batches(ids, LOOKUP_BATCH))


def add_embeddings(session: Session, embedder_id: int, embeddings: Iterable[NewEmbedding]) -> int:
    """Store where vectors lie. Returns how many were new."""
    return insert_new(
        session, curation.Embedding, [{"embedder_id": embedder_id, **embedding._asdict()} for embedding in embeddings]
    )


def add_prompt_embeddings(session: Session, embedder_id: int, embeddings: Iterable[NewPromptEmbedding]) -> int:
    """Store where prompts' vectors lie. Returns how many were new."""
    rows = [{"embedder_id": embedder_id, **embedding._asdict()} for embedding in embeddings]
    return insert_new(session, curation.PromptEmbedding, rows)


def prompt_locations(session: Session, embedder_id: int, prompt_ids: Collection[int]) -> dict[int, tuple[str, int]]:
    """Shard and row of each prompt's own vector, by prompt id; prompts without a vector are absent."""
    table = curation.PromptEmbedding
    query = select(table.prompt_id, table.shard, table.row).where(
        table.embedder_id == embedder_id, table.shard.is_not(None)
    )
    return {
        id_: (shard or "", row or 0)
        for batch in batches(prompt_ids, LOOKUP_BATCH)
        for id_, shard, row in read_rows(session, query.where(among(table.prompt_id, batch)))
    }


def vector_locations(
    session: Session, run_id: int, embedder_id: int, prompt_ids: Sequence[int], *, has_guarded: bool = False
) -> list[VectorLocation]:
    """Vectors of these prompts' candidates that can be paired: not left out, no duplicate, none without a token.

    `has_guarded`: those too that the guard leaves out of the pairing.

    By prompt, then by response id, so that groups are contiguous and ties fall on the lower id.
    """
    query = (
        select(
            curation.Candidate.prompt_id,
            curation.Candidate.response_id,
            curation.Embedding.shard,
            curation.Embedding.row,
        )
        .join(curation.Embedding, curation.Embedding.response_id == curation.Candidate.response_id)
        .where(
            *_embeds(run_id),
            among(curation.Candidate.prompt_id, prompt_ids),
            curation.Candidate.duplicate_of_id.is_(None),
            curation.Embedding.embedder_id == embedder_id,
            curation.Embedding.shard.is_not(None),
            *([] if has_guarded else [~_is_guarded()]),
        )
        .order_by(curation.Candidate.prompt_id, curation.Candidate.response_id)
    )
    return [VectorLocation(*row) for row in read_rows(session, query)]


def newest_embedder_of(session: Session, id_: int, *, of: Embedded = "responses") -> EmbedderRecord:
    """The embedder that embedded this response, or prompt, last.

    Raises:
        LookupError: If there is none of this id, or nothing has embedded it.
    """
    table, column = _PLACES[of]
    query = (
        select(curation.Embedder)
        .join(table, table.embedder_id == curation.Embedder.id)
        .where(column == id_, table.shard.is_not(None))
        .order_by(curation.Embedder.id.desc())
        .limit(1)
    )
    embedder = session.scalar(query)
    if embedder is None and of == "prompts":
        is_stored = session.get(curation.Prompt, id_) is not None
        raise LookupError(
            f"prompt {id_} has no vector: no run has embedded it yet, it was forgotten, or the prompt is empty; a "
            "curation makes one: antipode curate"
            if is_stored
            else f"there is no prompt {id_}; ids are in the table prompts: antipode sql 'SELECT id, text FROM prompts'"
        )
    if embedder is None:
        is_stored = session.get(curation.Response, id_) is not None
        raise LookupError(
            f"response {id_} has no vector: it repeats another response's text, is empty or not embedded yet"
            if is_stored
            else f"there is no response {id_}; ids are in the pairs: antipode pairs"
        )
    return record_of(EmbedderRecord, embedder)


def newest_embedding_run(session: Session) -> int:
    """The newest run that embedded anything.

    Raises:
        LookupError: If there is none.
    """
    run_id = session.scalar(select(func.max(curation.Run.id)).where(curation.Run.embedder_id.is_not(None)))
    if run_id is None:
        raise LookupError("nothing is embedded yet; a curation does: antipode curate")
    return run_id


def embedder_of_run(session: Session, run_id: int) -> EmbedderRecord:
    """The embedder whose vectors a run uses.

    Raises:
        LookupError: If the run did not get as far as embedding.
    """
    query = select(curation.Embedder).join(curation.Run, curation.Run.embedder_id == curation.Embedder.id)
    embedder = session.scalar(query.where(curation.Run.id == run_id))
    if embedder is None:
        raise LookupError(f"run {run_id} has embedded nothing yet; give its command again, and it goes on")
    return record_of(EmbedderRecord, embedder)


def vector_of(session: Session, embedder_id: int, response_id: int) -> VectorLocation:
    """Where an embedder's vector of this response lies."""
    query = (
        select(curation.Response.prompt_id, curation.Response.id, curation.Embedding.shard, curation.Embedding.row)
        .join(curation.Embedding, curation.Embedding.response_id == curation.Response.id)
        .where(curation.Response.id == response_id, curation.Embedding.embedder_id == embedder_id)
    )
    return VectorLocation(*session.execute(query).one())


def embedded_rows(
    session: Session, embedder_id: int, *, of: Embedded = "responses"
) -> Iterator[tuple[str, list[int], list[int]]]:
    """All vectors of an embedder, shard by shard: the shard, the ids of responses or prompts, their rows in it."""
    table, id_ = _PLACES[of]
    query = (
        select(table.shard, id_, table.row)
        .where(table.embedder_id == embedder_id, table.shard.is_not(None))
        .order_by(table.shard, table.row)
    )
    vectors = stream_rows(session, query, 10_000)
    for shard, rows in groupby(vectors, key=lambda row: row[0] or ""):
        _, ids, shard_rows = zip(*rows, strict=True)
        yield shard, list(ids), list(shard_rows)


def _lacks_embedding(run_id: int, embedder_id: int) -> tuple[ColumnElement[bool], ...]:
    embedded = (
        select(curation.Embedding.response_id)
        .where(
            curation.Embedding.embedder_id == embedder_id,
            curation.Embedding.response_id == curation.Candidate.response_id,
        )
        .exists()
    )
    return (*_embeds(run_id), curation.Candidate.duplicate_of_id.is_(None), ~embedded)


def _lacks_prompt_embedding(run_id: int, embedder_id: int) -> tuple[ColumnElement[bool], ...]:
    table = curation.PromptEmbedding
    is_embedded = (table.embedder_id == embedder_id, table.prompt_id == curation.RunPrompt.prompt_id)
    return curation.RunPrompt.run_id == run_id, ~select(table.prompt_id).where(*is_embedded).exists()


def _is_guarded() -> ColumnElement[bool]:
    """Whether the guard leaves a candidate out of its run's pairing."""
    flag = curation.GuardFlag
    return (
        select(flag.response_id)
        .where(
            flag.run_id == curation.Candidate.run_id,
            flag.response_id == curation.Candidate.response_id,
            flag.is_left_out,
        )
        .exists()
    )


def _embeds(run_id: int) -> tuple[ColumnElement[bool], ...]:
    """The candidates that a run embeds; those left out may have vectors of another run."""
    return (curation.Candidate.run_id == run_id, curation.Candidate.is_left_out.is_(False))
