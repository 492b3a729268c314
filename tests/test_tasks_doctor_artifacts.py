"""What the doctor finds of vectors and policies that the database speaks of."""

from __future__ import annotations

import shutil

from curation_steps import configured, curate, row
from doctor_findings import levels, told
from stored_policies import finish, open_policy
from stored_rows import add

from tasks.doctor.artifacts import artifact_findings


def test_without_a_database_nothing_is_said_and_nothing_made(settings):
    assert artifact_findings(settings) == []


def test_missing_vectors_and_policies_are_problems(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 5)))
    run_id = curate(configured(embed={"responses_per_shard": 4}))
    policy = open_policy(sessions, run_id, "a")
    finish(sessions, policy.id)
    folder = settings.artifact_root / "policies" / str(policy.id) / "model"
    folder.mkdir(parents=True)
    assert levels(artifact_findings(settings)) == ["ok", "ok"]
    shutil.rmtree(folder)
    shutil.rmtree(min((settings.artifact_root / "vectors").glob("*/*")))
    found = artifact_findings(settings)
    assert levels(found) == ["problem", "problem"]
    assert "1 of 5 shards are missing" in told(found) and f"the first: policy {policy.id}" in told(found)
    assert told(found).count("mount the disk or share") == 2
