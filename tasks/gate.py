"""The gate as a step: the policy is compared with the one in use, and takes its place if it is better."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import promotions
from tasks.align_data import load_alignment
from tasks.evaluation import compare
from tasks.progress import say
from tasks.promotion import gate_verdict
from tasks.resources import open_database
from tasks.settings import Settings
from tasks.training import start_model


@task(name="gate", task_run_name="gate of policy {policy_id}", cache_policy=NO_CACHE)
def pass_gate(run_id: int, policy_id: int, start_id: int | None) -> None:
    """Compare the policy with the one in use, and promote it if it is better and the configuration says so."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_alignment(session, run_id)
            used = promotions.in_use(session)
        if not config.gate.promote:
            return
        if used is not None and used not in {policy_id, start_id}:
            compare(sessions, run_id, config, policy_id, start_model(config, used, settings), settings)
        with sessions.begin() as session:
            verdict = gate_verdict(session, policy_id)
            if verdict.is_passed:
                promotions.promote(
                    session, policy_id, evaluation_id=verdict.evaluation_id, is_forced=False, reason=verdict.reason
                )
    say(f"policy {policy_id} is {'promoted' if verdict.is_passed else 'not promoted'}: {verdict.reason}")
