"""Prompts have vectors of their own, made by the run's embedder as it reads a response, once and for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from curation_steps import configured, curate, row
from sqlalchemy import func
from sqlalchemy import select as query
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings
from db.schema import curation
from models.embedding import EmbeddingRequest
from models.embedding.hashed import HashedEmbedder
from models.records import Message, Prompt
from tasks.curation import embedding
from tasks.curation.embedding import embed
from tasks.curation.engines import HASHED_DIMENSION, vector_store
from tasks.curation.vectors import check_vectors, forget_broken
from tasks.errors import VectorsMissingError

PROMPTS = tuple(f"Prompt {number}?" for number in range(1, 7))


def stored_prompts(sessions):
    with sessions() as session:
        (embedder,) = embeddings.list_embedders(session)
        ids = session.scalars(query(curation.Prompt.id).order_by("id")).all()
        return embedder, embeddings.prompt_locations(session, embedder.id, [*ids, 999])


def test_every_prompt_of_a_run_has_the_vector_that_its_text_would_have_as_a_response(settings, sessions):
    add(sessions, *(row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)), row(7, " \n"))
    curate(configured(embed={"responses_per_shard": 4}))
    embedder, places = stored_prompts(sessions)
    assert list(places) == [1, 2, 3, 4, 5, 6], "a prompt without a token has none, and nobody knows 999"
    shards, rows = zip(*places.values(), strict=True)
    found = vector_store(embedder.key, settings, "prompts").gather(shards, rows).astype(np.float64)
    requests = [EmbeddingRequest(None, prompt) for prompt in PROMPTS]
    expected = HashedEmbedder(dimension=HASHED_DIMENSION).embed(requests).vectors
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-3)
    with sessions() as session:
        blank = session.scalars(query(curation.PromptEmbedding).filter_by(prompt_id=7)).one()
    assert (blank.shard, blank.row, blank.token_count, blank.is_truncated) == (None, None, 0, False)


def test_a_system_message_is_no_part_of_what_is_asked(settings, sessions):
    turns = (Message("system", "Be brief."), Message("user", "Why?"))
    add(sessions, row(1, "Why?"), replace(row(2, ""), prompt=Prompt(turns)))
    curate(configured())
    embedder, places = stored_prompts(sessions)
    vectors = vector_store(embedder.key, settings, "prompts").gather(*zip(*places.values(), strict=True))
    assert np.array_equal(vectors[0], vectors[1])


class DyingEmbedder:
    """An embedder whose machine fails at the prompts, after their first shard."""

    def __init__(self):
        self._inner, self._calls = HashedEmbedder(dimension=HASHED_DIMENSION), 0

    def embed(self, requests):
        self._calls += all(request.prompt is None for request in requests)
        if self._calls == 2:
            raise RuntimeError("the device is gone")
        return self._inner.embed(requests)

    def close(self):
        self._inner.close()


@on_sqlite
def test_a_run_that_died_among_its_prompts_embeds_only_the_rest_and_nothing_twice(settings, sessions, monkeypatch):
    add(sessions, *(row(number, prompt, "one", "two") for number, prompt in enumerate(PROMPTS, 1)))
    config = configured(embed={"responses_per_shard": 4}, generate={"when": "never"})
    with monkeypatch.context() as dying:
        dying.setattr(embedding, "make_embedder", lambda *_: DyingEmbedder())
        with pytest.raises(RuntimeError, match="the device is gone"):
            curate(config)
    assert len(stored_prompts(sessions)[1]) == 4
    run_id = curate(config)
    assert len(stored_prompts(sessions)[1]) == 6
    monkeypatch.setattr(embedding, "make_embedder", None)  # who has all vectors loads no model
    embed.fn(run_id)
    with sessions() as session:
        assert session.scalar(query(func.count()).select_from(curation.Embedding)) == 12


@on_sqlite
def test_lost_vectors_of_prompts_are_told_and_embedded_anew_on_request(settings, sessions):
    add(sessions, *(row(number, prompt) for number, prompt in enumerate(PROMPTS, 1)))
    curate(configured())
    (shard,) = (settings.artifact_root / "prompt_vectors").glob("*/*")
    shard.rename(shard.with_name(f".{shard.name}"))
    with pytest.raises(VectorsMissingError, match="none of the 1 recorded shards"):
        curate(configured(name="again"))
    of_responses, of_prompts = check_vectors(settings, None)
    assert (of_responses.of, of_prompts.of) == ("responses", "prompts")
    assert not of_responses.missing and of_prompts.missing == {shard.name: 6} and of_prompts.run_ids == (1,)
    assert list(forget_broken([of_prompts], settings, are_lost=True)) == [(shard.name, 6)]
    curate(configured(name="again"))
    assert shard.is_dir()
