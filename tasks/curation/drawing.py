"""Which prompts a budget of labels is spent on, drawn once and kept with the run. Knows no Prefect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db import embeddings, runs
from db.embeddings import EmbedderRecord
from db.engine import Session, batches
from db.findings.prompts import left_out_prompts
from db.labels import standing
from models.index.clusters import clusters_of
from models.records import MAX_CANDIDATES
from models.selection import drawn_prompts, prompt_words
from tasks.config.curation import CurateConfig, SelectConfig
from tasks.curation.engines import vector_store
from tasks.progress import say
from tasks.run_kinds import RunAtWork
from tasks.runs import PROMPTS_PER_PAGE, prompt_pages

MOST_CLUSTERS = 1_000  # the square root of a million prompts
NOT_DRAWN = "not drawn: select.budget is spent on other prompts"


def draw_prompts(run: RunAtWork[CurateConfig], embedder: EmbedderRecord) -> None:
    """Store with every prompt that the budget does not reach that it was not drawn; once, whatever labels come later.

    One transaction stores them all: a run that is taken up finds all of them or none.
    """
    select = run.config.select
    with run.sessions() as session:
        is_drawn = NOT_DRAWN in runs.skip_counts(session, run.run_id)
    if select.budget is None or is_drawn:
        return
    ids, keys, costs = _prompts(run, embedder.id)
    with run.sessions() as session:
        labels = standing.label_counts(session, ids, select.strategies)
    drawn = drawn_prompts(
        prompt_words(keys, seed=run.config.seed),
        np.array(costs, dtype=np.int64),
        select.budget,
        label_counts=np.array([labels[id_] for id_ in ids], dtype=np.int64),
        clusters=_clusters(run, embedder, ids, keys) if select.budget_over == "even" else None,
    )
    reached = {ids[at] for at in drawn}
    say(
        f"select.budget {select.budget:,} labels a strategy: {len(reached):,} of {len(ids):,} prompts drawn, "
        f"{sum(labels[id_] > 0 for id_ in reached):,} of them with a label of these strategies"
    )
    others = [id_ for id_, cost in zip(ids, costs, strict=True) if cost and id_ not in reached]
    with run.sessions.begin() as session:
        for batch in batches(others, PROMPTS_PER_PAGE):
            runs.clear_skipped(session, run.run_id, batch)  # a prompt too long for a generator, with other responses
        runs.set_skipped(session, run.run_id, dict.fromkeys(others, NOT_DRAWN))


def undrawn_prompts(session: Session, run_id: int, prompt_ids: Sequence[int]) -> set[int]:
    """Which of these prompts the budget does not reach."""
    return {id_ for id_, reason in runs.skip_reasons(session, run_id, prompt_ids).items() if reason == NOT_DRAWN}


def _prompts(run: RunAtWork[CurateConfig], embedder_id: int) -> tuple[list[int], list[str], list[int]]:
    """Ids of the run's prompts, their keys, and how many pairs a strategy can choose of each: 0 of one left out."""
    ids: list[int] = []
    keys: list[str] = []
    costs: list[int] = []
    for page in prompt_pages(run.sessions, run.run_id, PROMPTS_PER_PAGE):
        page_ids = [prompt.id for prompt in page]
        with run.sessions() as session:
            locations = embeddings.vector_locations(session, run.run_id, embedder_id, page_ids)
            left_out = left_out_prompts(session, run.run_id, page_ids)
        sizes = Counter(location.prompt_id for location in locations)
        ids += page_ids
        keys += [prompt.prompt.key for prompt in page]
        costs += [0 if id_ in left_out else _cost(sizes[id_], run.config.select) for id_ in page_ids]
    return ids, keys, costs


def _clusters(
    run: RunAtWork[CurateConfig], embedder: EmbedderRecord, ids: Sequence[int], keys: Sequence[str]
) -> NDArray[np.int64]:
    """The cluster of each prompt by its own vector; prompts without one are a cluster of their own, −1."""
    with run.sessions() as session:
        located = embeddings.prompt_locations(session, embedder.id, ids)
    store = vector_store(embedder.key, run.settings, of="prompts")
    # By content, so that the order of import changes no centre.
    order = sorted((at for at, id_ in enumerate(ids) if id_ in located), key=keys.__getitem__)
    places = [located[ids[at]] for at in order]

    def read(rows: NDArray[np.int64]) -> NDArray[np.float16]:
        return store.gather([places[row][0] for row in rows], [places[row][1] for row in rows])

    clusters = min(math.ceil(math.sqrt(len(order))), MOST_CLUSTERS)
    found = np.full(len(ids), -1, dtype=np.int64)
    if order:
        found[order] = clusters_of(read, len(order), clusters=clusters, seed=run.config.seed)
    say(f"select.budget_over even: {len(order):,} prompts in {len(set(found[order].tolist())):,} clusters")
    return found


def _cost(size: int, select: SelectConfig) -> int:
    """Of so many candidates; 0 where there is no pair. Candidates whose embeddings are equal make it too high."""
    if size > MAX_CANDIDATES:
        return 0
    return min(select.pairs_per_prompt, size // 2 if select.pairs_are_disjoint else size * (size - 1) // 2)
