"""Runs of curation: opened or taken up, their prompts and model fixed, after checks that they can begin."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from db.engine import Sessions
from tasks.config.curation import CurateConfig
from tasks.curation.benchmarks import benchmarks_content
from tasks.curation.choices import chosen_curation, loads_model, opened_prompts
from tasks.curation.strategies import key_data
from tasks.run_kinds import CURATION
from tasks.runs import find_or_open, opened
from tasks.settings import Settings
from tasks.storage import require_storage


@task(name="open run", task_run_name="open run", cache_policy=NO_CACHE)
def open_run(config: CurateConfig) -> int:
    """Store a new run and fix its prompts, or take up the unfinished run of the same configuration; return its id.

    Raises:
        NothingToDoError: If no prompt fits the source, its split, or the database is empty.
        NoModelError: If a model is needed and none is chosen.
        LookupError: If the policy in use is to sample, and there is none.
        SourceError: If a benchmark's file cannot be read.
        StorageError: If there is no such bucket, or it refuses us.
        ValueError: If a strategy is unknown.
    """
    content = benchmarks_content(config)
    require_storage(Settings())  # vectors are stored there after hours of sampling

    def open_once(sessions: Sessions) -> int:
        with sessions.begin() as session:
            run_config, prompt_ids = chosen_curation(session, config)
            return find_or_open(
                session,
                CURATION,
                run_config,
                name=run_config.name,
                asked=config,
                data=[*content, *key_data(run_config)],
                prompt_ids=lambda: opened_prompts(session, run_config, prompt_ids),
                has_model=loads_model(session, run_config, prompt_ids),
            )

    return opened(open_once)
