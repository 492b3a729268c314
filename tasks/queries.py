"""What users ask of the database from the command line: runs, pairs, the nearest responses. Records in, records out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from db import pairs, responses, runs
from models.index import VectorIndex
from tasks.reporting import EXAMPLES_PER_STRATEGY, example_pairs, report_path
from tasks.resources import open_database, vector_store
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class SimilarResponse:
    """A response and how similar (cosine) it is to the one asked about."""

    response_id: int
    prompt: str
    response: str
    model: str | None
    similarity: float


def run_summaries(settings: Settings) -> list[runs.RunSummary]:
    """All runs, newest first."""
    with open_database(settings) as sessions, sessions() as session:
        return runs.summaries(session)


def selected_pairs(
    run: str, *, strategy: str | None, limit: int | None, settings: Settings
) -> Iterator[pairs.SelectedPair]:
    """Stream the pairs of a run, given as an id, a name or `last`.

    Raises:
        LookupError: If there is no such run.
    """
    with open_database(settings) as sessions, sessions() as session:
        run_id = runs.find_run(session, run)
        yield from pairs.selected_pairs(session, run_id, strategy=strategy, limit=limit)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What the end of a run is told with."""

    summary: runs.RunSummary
    examples: list[pairs.SelectedPair]
    pair_counts: dict[str, int]
    medians: dict[str, float]
    skipped: dict[str, int]
    report: Path


def run_end(run_id: int, settings: Settings) -> RunEnd:
    """Figures and example pairs of a finished run."""
    with open_database(settings) as sessions, sessions() as session:
        similarities = pairs.similarities(session, run_id)
        return RunEnd(
            summary=runs.summaries(session, run_id)[0],
            examples=example_pairs(session, run_id, EXAMPLES_PER_STRATEGY),
            pair_counts={strategy: len(values) for strategy, values in similarities.items()},
            medians={strategy: float(np.median(values)) for strategy, values in similarities.items()},
            skipped=runs.skip_counts(session, run_id),
            report=report_path(run_id, settings),
        )


def find_run(run: str, settings: Settings) -> int:
    """The id of a run given as an id, a name or `last`.

    Raises:
        LookupError: If there is none.
    """
    with open_database(settings) as sessions, sessions() as session:
        return runs.find_run(session, run)


def similar_responses(response_id: int, count: int, settings: Settings) -> list[SimilarResponse]:
    """The responses nearest to one by cosine, over everything its newest embedder has embedded.

    The first of the list is the response itself, with similarity 1.

    Raises:
        LookupError: If there is no such response, or it has no vector.
    """
    with open_database(settings) as sessions:
        with sessions() as session:
            embedder = responses.newest_embedder_of(session, response_id)
            place = responses.vector_of(session, embedder.id, response_id)
            shards = list(responses.embedded_rows(session, embedder.id))
        store = vector_store(embedder.key, settings)
        index = VectorIndex.build(
            (np.array(ids, dtype=np.int64), store.read_shard(shard).vectors[rows]) for shard, ids, rows in shards
        )
        query = store.gather([place.shard], [place.row]).astype(np.float32)
        ids, similarities = index.search(query, count, exclude=[{response_id}])
        near = [(response_id, 1.0), *zip(ids[0].tolist(), similarities[0].tolist(), strict=True)]
        with sessions() as session:
            shown = responses.shown_responses(session, [id_ for id_, _ in near])
    return [SimilarResponse(id_, *shown[id_], similarity) for id_, similarity in near if id_ in shown]
