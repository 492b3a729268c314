"""Studies as a Prefect flow: trials → findings → report.

antipode study NAME …                              (command line)
flows/study.py:study                               (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import flow

from flows.processes.stopping import tell_stopped
from tasks.config.studies import StudyConfig
from tasks.runs import work_on
from tasks.studies.publishing import publish_study
from tasks.studies.running import carry_out_trials, open_study


@flow(name="study", flow_run_name="study {config.study} {config.name}", on_crashed=[tell_stopped])
def study(config: StudyConfig) -> int:
    """Compare arms on the same data at equal budgets, several times over; return the study's run id.

    A study that was stopped anywhere and is started again with the same configuration goes on where it was.
    """
    run_id = open_study(config)

    def steps() -> int:
        carry_out_trials(run_id)
        publish_study(run_id)
        return run_id

    return work_on(run_id, steps)
