"""The responses nearest to one. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from db import embeddings, responses
from models.index import VectorIndex
from tasks.curation.engines import vector_store
from tasks.database import open_database
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class SimilarResponse:
    """A response and how similar (cosine) it is to the one asked about."""

    response_id: int
    prompt: str
    response: str
    model: str | None
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
            shards = list(embeddings.embedded_rows(session, embedder.id))
        store = vector_store(embedder.key, settings)
        index = VectorIndex.build(
            (np.array(ids, dtype=np.int64), store.read_shard(shard).vectors[rows]) for shard, ids, rows in shards
        )
        query = store.gather([location.shard], [location.row]).astype(np.float32)
        ids, similarities = index.search(query, count, exclude=[{response_id}])
        nearest = [(response_id, 1.0), *zip(ids[0].tolist(), similarities[0].tolist(), strict=True)]
        with sessions() as session:
            texts = responses.shown_responses(session, [id_ for id_, _ in nearest])
    return [SimilarResponse(id_, *texts[id_], similarity) for id_, similarity in nearest if id_ in texts]
