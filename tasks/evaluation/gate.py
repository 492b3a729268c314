"""The gate as a step: the policy is compared with the one in use, and takes its place if it is better."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import promotions
from tasks.alignment.data import alignment_at_work
from tasks.evaluation.comparison import compare
from tasks.evaluation.promotion import GateVerdict, gate_verdict
from tasks.progress import say
from tasks.run_kinds import load_alignment


@task(name="gate", task_run_name="gate of policy {policy_id}", cache_policy=NO_CACHE)
def pass_gate(run_id: int, policy_id: int, start_id: int | None) -> None:
    """Compare the policy with the one in use, and promote it if it is better and the configuration says so.

    Where none is in use, the comparison with its start counts, which the run has made. What a person rolled back is not
    promoted by the same run once more.
    """
    with alignment_at_work(run_id, load_alignment) as run:
        if not run.config.gate.promote:
            return
        with run.sessions() as session:
            used = promotions.in_use(session)
        if used is not None and used not in {policy_id, start_id}:
            compare(run, policy_id, run.model(used))
        with run.sessions.begin() as session:
            promotions.take_turn_of_promotions(session)
            verdict = gate_verdict(session, policy_id)
            if promotions.was_rolled_back(session, policy_id):
                verdict = GateVerdict(False, f"it was rolled back; antipode promote {policy_id} puts it into use again")
            if verdict.is_passed:
                promotions.promote(
                    session, policy_id, evaluation_id=verdict.evaluation_id, is_forced=False, reason=verdict.reason
                )
    say(f"policy {policy_id} is {'promoted' if verdict.is_passed else 'not promoted'}: {verdict.reason}")
