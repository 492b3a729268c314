"""Engines that are killed for their memory in an alignment: told as such, taken up, nothing trained or stored twice."""

from __future__ import annotations

from alignment_world import count_rows, ld_align_config, prefer, speak, tiny_model
from killed_engines import killed
from surroundings import on_sqlite

from db import policies, runs
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.runs import recorded


@on_sqlite
def test_a_killed_engine_is_told_and_its_run_goes_on(settings, sessions, tmp_path):
    prefer(sessions, train=4, held_out=2)
    model = tiny_model(tmp_path / "model")
    config = ld_align_config(model, rounds={"count": 1, "batch_size": 2, "examples_per_device": 2})
    run_id = open_ld_align_run.fn(config)
    speak(settings, sessions, run_id, model)
    for build, call in (("GuideProcess", 2), ("GuideReader", 1)):  # while the guide is trained, and when it reads
        with killed(build, call=call), recorded(run_id):
            weigh_round.fn(run_id, 1, None)
        assert count_rows(sessions, "LatentDistance") == 0
    weigh_round.fn(run_id, 1, None)
    distances = count_rows(sessions, "LatentDistance")
    for build in ("LogpScorer", "TrainingProcess"):
        with killed(build), recorded(run_id):
            train_round.fn(run_id, 1, None, None)
        with sessions() as session:
            assert runs.get_run(session, run_id).status == runs.FAILED
            assert not [one for one in policies.list_policies(session) if one.status == policies.TRAINED]
    assert open_ld_align_run.fn(config) == run_id
    policy_id = train_round.fn(run_id, 1, None, None)
    with sessions() as session:
        (policy,) = policies.list_policies(session)
    assert (policy.id, policy.status, policy.error) == (policy_id, policies.TRAINED, None)
    assert count_rows(sessions, "LatentDistance") == distances
