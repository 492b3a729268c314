"""Alignment as Prefect flows: preferences → policy, evaluated, gated; two models compared.

antipode align …                                   (command line)
flows/align.py:align                               (entry point of a Prefect deployment)
flows/align.py:align_on_labels                     (the same, for one that starts by itself)
"""

from __future__ import annotations

from prefect import State, flow
from prefect.states import Completed

from flows.processes.stopping import tell_stopped
from tasks.alignment.opening import open_align_run, open_evaluation_run
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.alignment import AlignConfig
from tasks.config.evaluation import EvaluationConfig
from tasks.config.service import TriggerConfig
from tasks.evaluation.comparison import compare_with, evaluate_policy
from tasks.evaluation.gate import pass_gate
from tasks.reports.policy_publishing import publish_policy
from tasks.runs import work_on
from tasks.service.retraining import open_due_run


@flow(name="align", flow_run_name="align {config.name} by {config.train.method}", on_crashed=[tell_stopped])
def align(config: AlignConfig) -> int:
    """Fine-tune, train on preferences, compare with the start, promote if told to; return the policy's id.

    A run that was stopped anywhere and is started again with the same configuration goes on where it was; what was
    trained on the same data with the same settings is never trained again.
    """
    return _align(open_align_run(config))


@flow(name="align", flow_run_name="align {config.name} by {config.train.method}", on_crashed=[tell_stopped])
def align_on_labels(config: AlignConfig, trigger: TriggerConfig, is_automatic: bool = False) -> State[None] | int:
    """Align if enough new labels have come since the last training of this name; return the policy's id.

    Of several runs on the same labels one trains. A training that died is taken up by the sweep.

    Args:
        config: What is trained, and how.
        trigger: When there is enough to train on.
        is_automatic: Started by an event or the sweep: what failed or was cancelled is not tried again.
    """
    run_id = open_due_run(config, trigger, is_automatic)
    return Completed(message="nothing to train on yet") if run_id is None else _align(run_id)


@flow(name="evaluate", flow_run_name="policy {config.policy} against {config.against}", on_crashed=[tell_stopped])
def evaluate(config: EvaluationConfig) -> int:
    """Compare a policy with another model on prompts that the policy's run holds out; return the evaluation's id."""
    run_id = open_evaluation_run(config)

    def steps() -> int:
        evaluation_id = compare_with(run_id, config.policy, config.against)
        publish_policy(run_id, config.policy)
        return evaluation_id

    return work_on(run_id, steps)


def _align(run_id: int) -> int:
    def steps() -> int:
        start_id = fine_tune(run_id)
        policy_id = train_policy(run_id, start_id)
        evaluate_policy(run_id, policy_id, start_id)
        pass_gate(run_id, policy_id, start_id)
        publish_policy(run_id, policy_id)
        return policy_id

    return work_on(run_id, steps)
