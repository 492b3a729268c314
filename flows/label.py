"""Labelling as a Prefect flow: selected pairs → judgements → preferences.

antipode label …                                   (command line)
flows/label.py:label                               (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import flow

from flows.processes.stopping import tell_stopped
from tasks.config.labels import LabelConfig
from tasks.labels.labelling import judge_pairs
from tasks.labels.opening import open_label_run
from tasks.reports.run_publishing import publish_labels
from tasks.runs import work_on


@flow(name="label", flow_run_name="label {config.name}", on_crashed=[tell_stopped])
def label(config: LabelConfig) -> int:
    """Have an annotator judge the pairs of a curation run; return the labelling run's id.

    A run that was stopped anywhere and is started again with the same configuration goes on where it was. When the
    labels are stored, the event `antipode.preferences.added` says how many there are.
    """
    run_id = open_label_run(config)

    def steps() -> int:
        judge_pairs(run_id)
        publish_labels(run_id)
        return run_id

    return work_on(run_id, steps)
