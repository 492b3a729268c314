"""The embedding step: vectors go to the store's shards, then their places to the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from db import embeddings, runs
from db.engine import Session, refresh_statistics
from models.embedding import Embedder, EmbeddingRequest, Embeddings
from models.prompting import without_system_message
from models.vectors import VectorStore
from tasks.config.curation import CurateConfig
from tasks.curation.engines import embedder_gpus, find_embedder, make_embedder, vector_store
from tasks.curation.vectors import check_presence
from tasks.devices import device
from tasks.progress import Advance, stage_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work


@task(name="embed", task_run_name="embed for run {run_id}", cache_policy=NO_CACHE)
def embed(run_id: int) -> None:
    """Embed every candidate of the run, and every prompt, that has no vector yet; duplicates share their first one's.

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
            stores = [vector_store(identity.key, run.settings, of) for of in ("responses", "prompts")]
            check_presence(session, run_id, embedder_id, stores[0])
            check_presence(session, run_id, embedder_id, stores[1], of="prompts")
            texts: list[_Texts] = [_Responses(run, embedder_id), _Prompts(run, embedder_id)]
            totals = [of.count(session) for of in texts]
        if not any(totals):
            return
        is_used, gpus = local_model is not None, embedder_gpus(run.config)
        with device(is_used=is_used, is_shared_out=True, gpus=gpus) as backends, ExitStack() as stack:
            embedder: Embedder | None = None
            for of, total, store in zip(texts, totals, stores, strict=True):
                if total:
                    with stage_progress(of.stage, total, f"{of.unit}, {identity.model}") as advance:
                        embedder = embedder or stack.enter_context(
                            closing(make_embedder(run.config, local_model, run.settings, backends))
                        )
                        _embed_all(run, of, store, embedder, advance)
        with run.sessions.begin() as session:
            refresh_statistics(session, "embeddings", "prompt_embeddings")


class _Row(NamedTuple):
    """What is stored of a text's vector: its shard, its row there, and the tokens that were read."""

    shard: str | None
    row: int | None
    token_count: int
    is_truncated: bool


class _Texts(Protocol):
    """What is embedded: which texts lack a vector, and where their places are stored."""

    @property
    def stage(self) -> str:
        """The name of the progress bar."""
        ...

    @property
    def unit(self) -> str:
        """What is counted."""
        ...

    def count(self, session: Session) -> int:
        """How many texts lack a vector."""
        ...

    def page(self, session: Session, after: int, size: int) -> list[tuple[int, EmbeddingRequest]]:
        """The next of them, by id."""
        ...

    def add(self, session: Session, ids: Sequence[int], rows: Iterable[_Row]) -> None:
        """Store where the vectors of a page lie."""
        ...


class _Responses:
    stage, unit = "embed", "responses"

    def __init__(self, run: RunAtWork[CurateConfig], embedder_id: int) -> None:
        self._run_id, self._embedder_id = run.run_id, embedder_id
        self._has_thoughts = run.config.embed.has_thoughts

    def count(self, session: Session) -> int:
        return embeddings.count_to_embed(session, self._run_id, self._embedder_id)

    def page(self, session: Session, after: int, size: int) -> list[tuple[int, EmbeddingRequest]]:
        page = embeddings.responses_to_embed(session, self._run_id, self._embedder_id, after=after, size=size)
        return [
            (one.id, EmbeddingRequest(one.prompt, one.text, one.thought if self._has_thoughts else None))
            for one in page
        ]

    def add(self, session: Session, ids: Sequence[int], rows: Iterable[_Row]) -> None:
        embeddings.add_embeddings(
            session,
            self._embedder_id,
            [embeddings.NewEmbedding(id_, *row) for id_, row in zip(ids, rows, strict=True)],
        )


class _Prompts:
    """Prompts as the embedder reads a response: their text alone, without the system message that many share."""

    stage, unit = "embed prompts", "prompts"

    def __init__(self, run: RunAtWork[CurateConfig], embedder_id: int) -> None:
        self._run_id, self._embedder_id = run.run_id, embedder_id

    def count(self, session: Session) -> int:
        return embeddings.count_prompts_to_embed(session, self._run_id, self._embedder_id)

    def page(self, session: Session, after: int, size: int) -> list[tuple[int, EmbeddingRequest]]:
        page = embeddings.prompts_to_embed(session, self._run_id, self._embedder_id, after=after, size=size)
        return [(one.id, EmbeddingRequest(None, without_system_message(one.prompt).text)) for one in page]

    def add(self, session: Session, ids: Sequence[int], rows: Iterable[_Row]) -> None:
        embeddings.add_prompt_embeddings(
            session,
            self._embedder_id,
            [embeddings.NewPromptEmbedding(id_, *row) for id_, row in zip(ids, rows, strict=True)],
        )


def _embed_all(
    run: RunAtWork[CurateConfig], texts: _Texts, store: VectorStore, embedder: Embedder, advance: Advance
) -> None:
    """Read texts, embed them, store them, a shard at a time."""
    after = 0
    while True:
        with run.sessions() as session:
            page = texts.page(session, after, run.config.embed.responses_per_shard)
        if not page:
            return
        ids = [id_ for id_, _ in page]
        embedded = embedder.embed([request for _, request in page])
        has_direction, shard = _has_direction(embedded), None
        if has_direction.any():
            shard = store.write_shard(np.array(ids, dtype=np.int64)[has_direction], embedded.vectors[has_direction])
        with run.sessions.begin() as session:
            texts.add(session, ids, _rows(shard, embedded, has_direction))
        advance(len(page))
        after = ids[-1]


def _has_direction(embedded: Embeddings) -> NDArray[np.bool_]:
    is_vector: NDArray[np.bool_] = np.isfinite(embedded.vectors).all(axis=1) & (embedded.vectors != 0).any(axis=1)
    return is_vector


def _rows(shard: str | None, embedded: Embeddings, has_direction: NDArray[np.bool_]) -> Iterator[_Row]:
    """Where each text's vector lies; a text without a direction is in no row."""
    rows = (np.cumsum(has_direction) - 1).tolist()
    numbers = embedded.token_counts.tolist(), embedded.is_truncated.tolist()
    for is_stored, row, token_count, is_truncated in zip(has_direction.tolist(), rows, *numbers, strict=True):
        yield _Row(shard if is_stored else None, row if is_stored else None, token_count, is_truncated)
