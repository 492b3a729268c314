"""The index step: the vectors of an embedder as an index on disk, that searches map; made if it is not current."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from db import embeddings
from db.embeddings import EmbedderRecord
from db.engine import Session
from models.index import VectorIndex
from models.index.kept import KeptIndex, OpenedIndex, Source
from models.index.making import Encode, Encoder, Encoders, OnRows
from models.records import Embedded
from tasks.curation.engines import VECTOR_FOLDERS, vector_store
from tasks.devices import start_on_cores
from tasks.progress import say, step_progress
from tasks.run_kinds import CURATION, run_at_work
from tasks.settings import Settings
from tasks.storage import objects_of

FOLDER = "indexes"
ENCODE_TIMEOUT_S = 3600.0  # of a segment of 65,536 vectors, or until there is room on the cluster


@task(name="index", task_run_name="index for run {run_id}", cache_policy=NO_CACHE)
def index(run_id: int) -> None:
    """Bring the indexes of the run's embedder, of responses and of prompts, to what is stored; say what was done.

    A step that is killed leaves the index as it was, and starts over.

    Raises:
        BrokenShardError: If a shard that is new to the index is missing or damaged.
        OSError: If the disk is full or fails.
    """
    with run_at_work(run_id, CURATION) as run:
        with run.sessions() as session:
            embedder = embeddings.embedder_of_run(session, run_id)
        for of in VECTOR_FOLDERS:

            def stored(of: Embedded = of) -> list[Source]:
                with run.sessions() as session:
                    return _sources(session, embedder, of)

            def stage(name: str, of: Embedded = of) -> AbstractContextManager[OnRows]:
                return step_progress(f"{name} {of}", "vectors")

            kept = kept_index(embedder, run.settings, of)
            opened = kept.open(stored(), factory=run.config.index.factory, latest=stored, stage=stage)
            if opened.index is not None:
                say(told(opened, of))


def open_index(
    session: Session, embedder: EmbedderRecord, settings: Settings, *, of: Embedded = "responses"
) -> VectorIndex:
    """The index of all vectors of an embedder, mapped from disk; grown or made anew where it must be, which is said.

    Raises:
        LookupError: If there is no vector.
        BrokenShardError: If a shard that is new to the index is missing or damaged.
        OSError: If the disk is full or fails.
    """

    def latest() -> list[Source]:
        with Session(session.get_bind()) as another:  # what this one reads may be as it was when it began
            return _sources(another, embedder, of)

    opened = kept_index(embedder, settings, of).open(_sources(session, embedder, of), latest=latest)
    if opened.index is None:
        raise LookupError(f"{embedder.model} has embedded no {of} yet; a curation does: antipode curate")
    if opened.state != "current" or opened.reason:
        say(told(opened, of))
    return opened.index


def kept_index(embedder: EmbedderRecord, settings: Settings, of: Embedded) -> KeptIndex:
    """The folder of an embedder's index, and what reads its shards."""
    store = vector_store(embedder.key, settings, of)
    name = f"{FOLDER}/{embedder.key[:16]}/{of}"
    return KeptIndex(
        settings.artifact_root / name,
        lambda shard: store.read_shard(shard).vectors,
        objects_of(settings, name),
        _encoders(settings),
    )


def told(opened: OpenedIndex, of: Embedded) -> str:
    """One line: how many vectors, how they are searched, what was done."""
    how = kind_of_search(opened) + (" on the GPU" if opened.index and opened.index.has_gpu else "")
    done = {
        "current": "up to date",
        "grown": f"grown by {opened.added:,}",
        "built": "made",
        "rebuilt": "made anew",
        "not kept": "in memory",
    }[opened.state]
    reason = f" ({opened.reason})" if opened.reason else ""
    count = len(opened.index) if opened.index else 0
    return f"index of {of}: {count:,} vectors, {how}; {done}{reason}"


def kind_of_search(opened: OpenedIndex) -> str:
    """Exact, or by which factory string, and how much of what is nearest that was found to find."""
    if opened.recall is None:
        return opened.factory or "exact"
    share, of = f"{opened.recall.recall:.1%}", f"{opened.recall.sample:,} stored vectors"
    return f"{opened.factory}, which finds {share} of the true {opened.recall.neighbours} nearest of {of}"


def _encoders(settings: Settings) -> Encoders | None:
    """Who encodes vectors for a factory's index: the hosts of a Ray cluster, or (None) this process."""
    start = start_on_cores(settings)
    if start is None:
        return None

    @contextmanager
    def encoders(trained: NDArray[np.uint8]) -> Iterator[Encode]:
        backend = start(Encoder, {"trained": trained}, log_path=None, timeout_s=ENCODE_TIMEOUT_S)
        with closing(backend):
            yield lambda vectors: backend.call("encode", vectors)

    return encoders


def _sources(session: Session, embedder: EmbedderRecord, of: Embedded) -> list[Source]:
    return [
        Source(shard, np.array(ids, dtype=np.int64), np.array(rows, dtype=np.int64))
        for shard, ids, rows in embeddings.embedded_rows(session, embedder.id, of=of)
    ]
