"""Runs that label: opened or taken up."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from db.engine import Sessions
from tasks.config.labels import LabelConfig
from tasks.labels.choices import require_calibrated
from tasks.labels.labellers import holds_model
from tasks.labels.pairs import chosen_pairs
from tasks.run_kinds import LABELLING
from tasks.runs import find_or_open, opened
from tasks.settings import Settings


@task(name="open label run", task_run_name="open label run", cache_policy=NO_CACHE)
def open_label_run(config: LabelConfig) -> int:
    """Store a run that labels, or take up the unfinished one of the same configuration; return its id.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
        NotCalibratedError: If its annotator is to clear a bar, and does not.
    """

    def open_once(sessions: Sessions) -> int:
        with sessions.begin() as session:
            labelled_run_id, _ = chosen_pairs(session, config.pairs)
            require_calibrated(session, config, Settings())
            # `last` may be another run tomorrow, so the stored configuration names the run by its id.
            pairs = config.pairs.model_copy(update={"run": str(labelled_run_id)})
            run_config = config.model_copy(update={"pairs": pairs})
            return find_or_open(
                session,
                LABELLING,
                run_config,
                name=run_config.name,
                asked=config,
                labelled_run_id=labelled_run_id,
                has_model=holds_model(run_config),
            )

    return opened(open_once)
