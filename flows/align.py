"""Alignment as Prefect flows: preferences → policy, evaluated, gated; two models compared.

antipode align …                                   (command line)
flows/align.py:align                               (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import flow

from tasks.align_config import AlignConfig, EvaluationConfig
from tasks.align_runs import open_align_run, open_evaluation_run
from tasks.evaluation import compare_with, evaluate_policy
from tasks.gate import pass_gate
from tasks.policy_reports import publish_policy
from tasks.runs import working_on
from tasks.training import fine_tune, train_policy


@flow(name="align", flow_run_name="align {config.name} by {config.train.method}")
def align(config: AlignConfig) -> int:
    """Fine-tune, train on preferences, compare with the start, promote if told to; return the policy's id.

    A run that was stopped anywhere and is started again with the same configuration goes on where it was; what was
    trained on the same data with the same settings is never trained again.
    """
    run_id = open_align_run(config)
    with working_on(run_id):
        start_id = fine_tune(run_id)
        policy_id = train_policy(run_id, start_id)
        evaluation_id = evaluate_policy(run_id, policy_id, start_id)
        pass_gate(run_id, policy_id, start_id, evaluation_id)
        publish_policy(run_id, policy_id)
    return policy_id


@flow(name="evaluate", flow_run_name="policy {config.policy} against {config.against}")
def evaluate(config: EvaluationConfig) -> int:
    """Compare a policy with another model on prompts that the policy's run holds out; return the evaluation's id."""
    run_id = open_evaluation_run(config)
    with working_on(run_id):
        evaluation_id = compare_with(run_id, config.policy, config.against)
        publish_policy(run_id, config.policy)
    return evaluation_id
