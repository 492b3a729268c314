"""What users ask of the database from the command line: runs, pairs, the nearest responses. Records in, records out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from db import judgements, pairs, preferences, responses, runs
from models.index import VectorIndex
from tasks.config import LabelConfig
from tasks.pairs import chosen_pairs
from tasks.reporting import EXAMPLES_PER_STRATEGY, example_pairs
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


@dataclass(frozen=True, slots=True)
class LabelEnd:
    """What the end of a run that labels is told with. `annotator` is None for people: their queue is open."""

    labelled_run_id: int
    annotator: str | None
    pairs: int
    judged: int
    verdicts: dict[str, int]
    unparsed_reply: str | None
    requests: int
    cost: float
    outcomes: dict[str, int]


def label_end(run_id: int, settings: Settings) -> LabelEnd:
    """Figures of a run that labels."""
    with open_database(settings) as sessions, sessions() as session:
        run = runs.get_run(session, run_id)
        assert run.labelled_run_id is not None  # every run that labels has one
        config = LabelConfig.model_validate(run.config)
        _, chosen = chosen_pairs(session, config.pairs)
        annotator = judgements.annotator_of_run(session, run_id)
        judged = judgements.judged_showings(session, annotator.id, chosen) if annotator else set()
        showings = Counter(pair for pair, _ in judged)
        needed = 2 if annotator and annotator.has_both_orders else 1
        return LabelEnd(
            labelled_run_id=run.labelled_run_id,
            annotator=annotator.name if annotator else None,
            pairs=len(chosen),
            judged=sum(count >= needed for count in showings.values()),
            verdicts=judgements.verdict_counts(session, run_id),
            unparsed_reply=judgements.unparsed_reply(session, run_id),
            requests=run.requests,
            cost=run.cost,
            outcomes=preferences.outcome_counts(session, preferences.STANDING_RULE, chosen),
        )
