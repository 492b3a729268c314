"""The embedding step: vectors go to the store's shards, then their places to the database."""

from __future__ import annotations

from contextlib import closing

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from db import embeddings, runs
from models.embedding import Embedder, EmbeddingRequest, Embeddings
from models.records import StoredResponse
from models.vectors import VectorStore
from tasks.config.curation import CurateConfig
from tasks.curation.engines import find_embedder, make_embedder, vector_store
from tasks.curation.vectors import check_presence
from tasks.devices import device
from tasks.progress import Advance, stage_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work


@task(name="embed", task_run_name="embed for run {run_id}", cache_policy=NO_CACHE)
def embed(run_id: int) -> None:
    """Embed every candidate of the run that has no vector yet; duplicates share their first one's.

    A shard of vectors is complete on disk before its rows are stored: a run that is killed in between embeds only that
    shard again. A shard that is recorded and not on disk is never forgotten here: its folder may come back.

    Raises:
        VectorsMissingError: If recorded vectors are not where they were written.
    """
    with run_at_work(run_id, CURATION) as run:
        identity, local_model = find_embedder(run.sessions, run.config, run.settings)
        with run.sessions.begin() as session:
            embedder_id = embeddings.ensure_embedder(session, identity)
            runs.set_embedder(session, run_id, embedder_id)
            store = vector_store(identity.key, run.settings)
            check_presence(session, run_id, embedder_id, store)
            total = embeddings.count_to_embed(session, run_id, embedder_id)
        if total:
            with (
                device(is_used=local_model is not None) as process,
                stage_progress("embed", total, f"responses, {identity.model}") as advance,
                closing(make_embedder(run.config, local_model, run.settings, process)) as embedder,
            ):
                _EmbedderStage(run, embedder_id, store).run(embedder, advance)


class _EmbedderStage:
    """Reads responses, embeds them, stores them, a shard at a time."""

    def __init__(self, run: RunAtWork[CurateConfig], embedder_id: int, store: VectorStore) -> None:
        self._sessions = run.sessions
        self._run_id = run.run_id
        self._responses_per_shard = run.config.embed.responses_per_shard
        self._has_thoughts = run.config.embed.has_thoughts
        self._embedder_id = embedder_id
        self._store = store

    def run(self, embedder: Embedder, advance: Advance) -> None:
        after = 0
        while page := self._page(after):
            embeddings = embedder.embed([self._request(response) for response in page])
            self._write(page, embeddings)
            advance(len(page))
            after = page[-1].id

    def _request(self, response: StoredResponse) -> EmbeddingRequest:
        thought = response.thought if self._has_thoughts else None
        return EmbeddingRequest(response.prompt, response.text, thought)

    def _page(self, after: int) -> list[StoredResponse]:
        size = self._responses_per_shard
        with self._sessions() as session:
            return embeddings.responses_to_embed(session, self._run_id, self._embedder_id, after=after, size=size)

    def _write(self, page: list[StoredResponse], embedded: Embeddings) -> None:
        ids = np.array([response.id for response in page], dtype=np.int64)
        has_direction = np.isfinite(embedded.vectors).all(axis=1) & (embedded.vectors != 0).any(axis=1)
        shard = None
        if has_direction.any():
            shard = self._store.write_shard(ids[has_direction], embedded.vectors[has_direction])
        rows = np.cumsum(has_direction) - 1
        records = [
            embeddings.NewEmbedding(
                response_id=int(ids[at]),
                shard=shard if has_direction[at] else None,
                row=int(rows[at]) if has_direction[at] else None,
                token_count=int(embedded.token_counts[at]),
                is_truncated=bool(embedded.is_truncated[at]),
            )
            for at in range(len(page))
        ]
        with self._sessions.begin() as session:
            embeddings.add_embeddings(session, self._embedder_id, records)
