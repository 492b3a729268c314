"""The main job as a Prefect flow: prompts → responses → embeddings → index → guard → pairs → report.

antipode curate …                                  (command line)
flows/curate.py:curate                             (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import flow

from flows.processes.stopping import tell_stopped
from tasks.config.curation import CurateConfig
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.guard import guard
from tasks.curation.index import index
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.reports.run_publishing import publish
from tasks.runs import work_on


@flow(name="curate", flow_run_name="curate {config.name}", on_crashed=[tell_stopped])
def curate(config: CurateConfig) -> int:
    """Select, for each prompt, the pairs of responses worth a label; return the run's id.

    A run that was stopped anywhere and is started again with the same configuration goes on where it was.
    """
    run_id = open_run(config)

    def steps() -> int:
        generate(run_id)
        embed(run_id)
        index(run_id)
        guard(run_id)
        select(run_id)
        publish(run_id)
        return run_id

    return work_on(run_id, steps)
