"""LD-Align and SPIN as a Prefect flow: rounds of sample → weigh → train, without labels (LD-Align alg. 1).

antipode ld-align …                                (command line)
flows/ld_align.py:ld_align                         (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import flow

from flows.processes.stopping import tell_stopped
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.alignment.training import fine_tune
from tasks.config.rounds import LdAlignConfig
from tasks.evaluation.comparison import evaluate_policy
from tasks.evaluation.gate import pass_gate
from tasks.reports.policy_publishing import publish_policy
from tasks.runs import work_on


@flow(name="ld-align", flow_run_name="ld-align {config.name}, {config.rounds.count} rounds", on_crashed=[tell_stopped])
def ld_align(config: LdAlignConfig) -> int:
    """Train in rounds on golden responses against the policy's own; return the last policy's id.

    Each round's policy is the next round's reference. A run that was stopped goes on in the round where it was.
    """
    run_id = open_ld_align_run(config)

    def steps() -> int:
        start_id = fine_tune(run_id)
        before_last_id, last_id = None, start_id
        for round_number in range(1, config.rounds.count + 1):
            weigh_round(run_id, round_number, last_id)
            policy_id = train_round(run_id, round_number, last_id, before_last_id)
            evaluate_policy(run_id, policy_id, start_id)
            publish_policy(run_id, policy_id)
            before_last_id, last_id = last_id, policy_id
        pass_gate(run_id, policy_id, start_id)
        publish_policy(run_id, policy_id)
        return policy_id

    return work_on(run_id, steps)
