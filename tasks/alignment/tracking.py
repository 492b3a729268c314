"""What experiment trackers are told of a training: where it comes from, and every setting. Knows no tracker."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from db.policies import PolicyRecord
from models.alignment.tracking import TrackedTraining, Tracking
from tasks.alignment.data import AlignmentAtWork
from tasks.alignment.plans import Plan
from tasks.progress import say

FOLDER = "tracking"  # in the artifact root: what trackers keep on this machine


def tracking_of(run: AlignmentAtWork[Any], policy: PolicyRecord, plan: Plan, job_folder: Path) -> Tracking:
    """What tells the trackers of `report_to` of a policy's training; their entry is found again by the policy's key."""
    parameters = {
        "policy_id": policy.id,
        "run_id": run.run_id,
        "method": policy.method,
        "round": policy.round,
        "start_model": policy.start_model,
        "snapshot_id": policy.snapshot_id,
        "data_hash": policy.data_hash,
        "code_version": policy.code_version,
        "training": asdict(plan.settings),
        "config": run.config.model_dump(mode="json"),
    }
    return Tracking(
        plan.optimize.report_to,
        TrackedTraining(policy.key, f"{policy.name}, policy {policy.id}", parameters),
        job_folder=job_folder,
        kept_in=run.settings.artifact_root / FOLDER,
        warn=say,
    )
