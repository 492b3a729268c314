"""What is nearest to a response, a prompt or a text. Knows no Prefect."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from db import embeddings, responses
from db.embeddings import EmbedderRecord
from db.engine import Sessions
from db.prompts import stored_prompts
from models.embedding import EmbeddingRequest
from models.records import Embedded
from tasks.curation.engines import find_embedder, make_embedder, vector_store
from tasks.curation.index import open_index
from tasks.database import open_database
from tasks.devices import device
from tasks.run_kinds import CURATION
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class SimilarResponse:
    """A response and how similar (cosine) it is to what was asked about."""

    response_id: int
    prompt: str
    response: str
    model: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class SimilarPrompt:
    """A prompt and how similar (cosine) it is to the one asked about."""

    prompt_id: int
    prompt: str
    similarity: float


def similar_responses(response_id: int, count: int, settings: Settings) -> list[SimilarResponse]:
    """The responses nearest to one by cosine, over everything its newest embedder has embedded.

    The first of the list is the response itself, with similarity 1.

    Raises:
        LookupError: If there is no such response, or it has no vector.
    """
    with open_database(settings) as sessions:
        with sessions() as session:
            embedder = embeddings.newest_embedder_of(session, response_id)
            location = embeddings.vector_of(session, embedder.id, response_id)
        query = vector_store(embedder.key, settings).gather([location.shard], [location.row])
        nearest = _nearest(sessions, embedder, query, count, settings, own=response_id)
        return _shown(sessions, [(response_id, 1.0), *nearest])


def similar_prompts(prompt_id: int, count: int, settings: Settings) -> list[SimilarPrompt]:
    """The prompts nearest to one by cosine, over all that its newest embedder has embedded; itself first.

    Raises:
        LookupError: If there is no such prompt, or it has no vector.
    """
    with open_database(settings) as sessions:
        with sessions() as session:
            embedder = embeddings.newest_embedder_of(session, prompt_id, of="prompts")
            shard, row = embeddings.prompt_locations(session, embedder.id, [prompt_id])[prompt_id]
        query = vector_store(embedder.key, settings, "prompts").gather([shard], [row])
        nearest = _nearest(sessions, embedder, query, count, settings, of="prompts", own=prompt_id)
        found = dict([(prompt_id, 1.0), *nearest])
        with sessions() as session:
            texts = {stored.id: stored.prompt.text for stored in stored_prompts(session, list(found))}
    return [SimilarPrompt(id_, texts[id_], similarity) for id_, similarity in found.items() if id_ in texts]


def responses_like(text: str, count: int, settings: Settings, *, run_id: int | None) -> list[SimilarResponse]:
    """The responses nearest to a text, which the run's embedder reads as a response; None: the newest run's.

    Raises:
        LookupError: If no run has embedded anything, or this one has not.
        ValueError: If the text has no token.
        ModelLoadError: If the embedder's model does not load.
    """
    with open_database(settings) as sessions:
        with sessions() as session:
            run_id = embeddings.newest_embedding_run(session) if run_id is None else run_id
            embedder = embeddings.embedder_of_run(session, run_id)
            config = CURATION.load_config(session, run_id)
        identity, local_model = find_embedder(sessions, config, settings)
        if identity.key != embedder.key:
            raise LookupError(
                f"the model that run {run_id} embedded with is another one now: {identity.model}; give --run of one "
                "that embedded with it as it is"
            )
        with (
            device(is_used=local_model is not None) as backends,
            closing(make_embedder(config, local_model, settings, backends)) as model,
        ):
            query = model.embed([EmbeddingRequest(None, text)]).vectors
        if not np.isfinite(query).all() or not query.any():
            raise ValueError("--text has no token that could be embedded; give some words")
        return _shown(sessions, _nearest(sessions, embedder, query, count, settings))


def _nearest(
    sessions: Sessions,
    embedder: EmbedderRecord,
    query: ArrayLike,
    count: int,
    settings: Settings,
    *,
    of: Embedded = "responses",
    own: int | None = None,
) -> list[tuple[int, float]]:
    with sessions() as session:
        index = open_index(session, embedder, settings, of=of)
    exclude = None if own is None else [{own}]
    ids, similarities = index.search(query, count, exclude=exclude)
    found = zip(ids[0].tolist(), similarities[0].tolist(), strict=True)
    return [(id_, similarity) for id_, similarity in found if id_ >= 0]


def _shown(sessions: Sessions, nearest: list[tuple[int, float]]) -> list[SimilarResponse]:
    with sessions() as session:
        texts = responses.shown_responses(session, [id_ for id_, _ in nearest])
    return [SimilarResponse(id_, *texts[id_], similarity) for id_, similarity in nearest if id_ in texts]
