"""The step that checks a run's prompts: which are nearly the same, which are in a benchmark, which are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from db import embeddings, prompts
from db.engine import batches
from db.findings.contaminations import Contamination, store_contaminations
from db.findings.prompts import finish_check, is_checked, leave_out, store_groups
from models.neighbours.groups import PromptIndex, prompt_groups
from tasks.config.curation import CurateConfig
from tasks.curation.contamination import contaminations
from tasks.curation.engines import vector_store
from tasks.progress import say, step_progress
from tasks.run_kinds import CURATION, RunAtWork, run_at_work
from tasks.runs import PROMPTS_PER_PAGE


@task(name="check prompts", task_run_name="check prompts of run {run_id}", cache_policy=NO_CACHE)
def check_prompts(run_id: int) -> None:
    """Group the run's prompts that are nearly the same, look for benchmarks among them, and leave out what is told.

    What is found is stored at once at the end: a run that is killed before checks its prompts again, one that has
    checked them does not.

    Raises:
        SourceError: If a benchmark's file cannot be read.
    """
    with run_at_work(run_id, CURATION) as run:
        with run.sessions() as session:
            if is_checked(session, run_id):
                return
            ids = prompts.run_prompt_ids(session, run_id)
        index = PromptIndex(lambda: _vectors(run, ids))
        with step_progress("check prompts", "prompts against each other") as on_rows:
            groups = prompt_groups(index, similarity=run.config.select.prompt_similarity, on_rows=on_rows)
        found = contaminations(run, index, len(ids))
        left_out = _left_out(run.config, groups, found)
        with run.sessions.begin() as session:
            store_groups(session, run_id, groups)
            store_contaminations(session, run_id, found)
            leave_out(session, run_id, left_out)
            finish_check(session, run_id)
        if left_out:
            say(
                f"{len(left_out):,} of {len(ids):,} prompts are left out: nearly the same as another, or in a benchmark"
            )


def _vectors(
    run: RunAtWork[CurateConfig], prompt_ids: Collection[int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """The prompts' ids and vectors, a page at a time; prompts without a vector are left out."""
    with run.sessions() as session:
        embedder = embeddings.embedder_of_run(session, run.run_id)
    store = vector_store(embedder.key, run.settings, "prompts")
    for page in batches(prompt_ids, PROMPTS_PER_PAGE):
        with run.sessions() as session:
            places = sorted(embeddings.prompt_locations(session, embedder.id, page).items())
        if places:
            vectors = store.gather([shard for _, (shard, _) in places], [row for _, (_, row) in places])
            yield np.array([id_ for id_, _ in places], dtype=np.int64), vectors


def _left_out(config: CurateConfig, groups: Mapping[int, int], found: Iterable[Contamination]) -> dict[int, str]:
    """Which prompts no pair is selected of, and why; of a group the first that is in no benchmark stays."""
    reasons: dict[int, str] = {}
    if config.contamination.are_left_out:
        for one in found:
            reasons.setdefault(one.prompt_id, f"{_WHERE[one.kind]} in the benchmark {one.file}, line {one.line}")
    if config.select.one_prompt_a_group:
        first: dict[int, int] = {}
        for id_ in sorted(groups.keys() - reasons.keys()):
            kept = first.setdefault(groups[id_], id_)
            if kept != id_:
                reasons[id_] = f"nearly the same as prompt {kept}, which stands for its group"
    return reasons


_WHERE = {"prompt": "is", "response": "has a response", "similar": "is nearly"}
