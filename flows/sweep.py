"""The safety net as a Prefect flow, every few minutes: dead runs are taken up, lost events are made up for.

Prefect's forms are told of new sources and policies on the way.

flows/sweep.py:sweep                               (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import State, flow
from prefect.states import Completed

from tasks.config.service import SweepConfig
from tasks.service.offered_values import renew_offered_values
from tasks.service.sweep import start_due_trainings, take_up_dead_runs


@flow(name="sweep", flow_run_name="sweep")
def sweep(config: SweepConfig) -> State[None]:
    """Take up runs whose process died; start trainings with enough new labels; renew what forms offer."""
    resumed = take_up_dead_runs(config)
    started = start_due_trainings()
    renew_offered_values()
    return Completed(message=f"{resumed} runs taken up, {started} trainings started")
