"""LD-Align's rounds on a tiny model: distances, weights, what is trained from what, a run that was killed between."""

from __future__ import annotations

import numpy as np
import pytest
from alignment_world import chosen_prompts, ld_align_config, merged, prefer, speak, tiny_model
from installed import installed

from db import policies, runs
from db.latent_distances import distances_of
from models.alignment.job import read_job
from models.demo.corpus import reference_response
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.runs import recorded

TRAIN, HELD_OUT = 5, 2
SPIN = {"rounds": {"weights": "unit"}, "name": "spin"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Preferences and a model: settings, sessions, the model's folder."""
    folder = tmp_path_factory.mktemp("ld-align")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=TRAIN, held_out=HELD_OUT)
        yield settings, sessions, tiny_model(folder / "model")


@pytest.fixture(scope="module")
def rounds(world):
    """Two rounds, the run killed and taken up between them: the run's id and the two policies'."""
    settings, sessions, model = world
    config = ld_align_config(
        model, rounds={"has_previous": True, "batch_size": 2, "examples_per_device": 2}
    )  # one step alone is warm-up
    run_id = open_ld_align_run.fn(config)
    speak(settings, sessions, run_id, model)
    weigh_round.fn(run_id, 1, None)
    first = train_round.fn(run_id, 1, None, None)
    # killed here: the run stays `running`, and the same command does every step again
    assert open_ld_align_run.fn(config) == run_id
    with recorded(run_id):
        weigh_round.fn(run_id, 1, None)
        assert train_round.fn(run_id, 1, None, None) == first
        speak(settings, sessions, run_id, f"policy:{first}", reason="length")
        weigh_round.fn(run_id, 2, first)
        return run_id, first, train_round.fn(run_id, 2, first, None)


def stored(sessions, run_id, number):
    with sessions() as session:
        return distances_of(session, run_id, number)


def policy_of(sessions, policy_id):
    with sessions() as session:
        return policies.get_policy(session, policy_id)


def test_every_pair_of_a_round_has_its_distance_and_the_weights_have_mean_one(world, rounds):
    _, sessions, _ = world
    run_id, *_ = rounds
    for number in (1, 2):
        found = stored(sessions, run_id, number)
        assert len(found) == TRAIN
        distances, weights = (np.array([getattr(one, name) for one in found]) for name in ("distance", "weight"))
        assert (distances > 0).all() and weights.mean() == pytest.approx(1)
        np.testing.assert_allclose(weights, distances / distances.mean())
    one, two = ({row.sampled_response_id for row in stored(sessions, run_id, number)} for number in (1, 2))
    assert not one & two, "each round has its own samples"
    assert [row.golden_response_id for row in stored(sessions, run_id, 1)] == [
        row.golden_response_id for row in stored(sessions, run_id, 2)
    ]


def test_each_round_trains_from_the_last_rounds_policy(world, rounds):
    _, sessions, model = world
    run_id, first_id, second_id = rounds
    first, second = policy_of(sessions, first_id), policy_of(sessions, second_id)
    assert [(one.method, one.round, one.status) for one in (first, second)] == [
        ("ld_align", 1, "trained"), ("ld_align", 2, "trained"),
    ]  # fmt: skip
    assert (first.parent_id, first.start_model) == (None, model)
    assert (second.parent_id, second.start_model) == (first_id, f"policy:{first_id}")
    assert second.start_fingerprint == first.fingerprint != first.start_fingerprint
    with sessions() as session:
        assert [one.id for one in policies.list_policies(session) if one.run_id == run_id] == [second_id, first_id]
        assert runs.get_run(session, run_id).status == runs.COMPLETED


def test_the_guide_is_trained_once_and_serves_all_rounds(world, rounds):
    settings, _, _ = world  # in the second round every sample is cut, in the first none
    assert len(list((settings.artifact_root / "guides").iterdir())) == 1


def test_with_the_previous_rounds_samples_there_are_twice_the_rows(world, rounds):
    settings, sessions, _ = world
    _, first_id, second_id = rounds
    jobs = [
        read_job((settings.artifact_root / policy_of(sessions, id_).folder).parent) for id_ in (first_id, second_id)
    ]
    one, two = (job.train for job in jobs)
    assert (len(one), len(two)) == (TRAIN, 2 * TRAIN)
    assert [(row.chosen, row.rejected, row.weight) for row in two[:TRAIN]] == [
        (row.chosen, row.rejected, row.weight) for row in one
    ]
    assert all(row.chosen == reference_response(row.prompt.text) for row in two)
    assert {row.prompt.text for row in one} == set(chosen_prompts(train=TRAIN, held_out=0))
    changed = [a.reference_chosen_logps != b.reference_chosen_logps for a, b in zip(one, two, strict=False)]
    assert all(changed), "the reference is the last policy, for the older samples too"
    assert all(row.reference_rejected_logps is not None for job in jobs for row in (*job.train, *job.held_out))


def test_what_is_held_out_is_measured_against_the_runs_first_model_in_every_round(world, rounds):
    settings, sessions, _ = world
    _, first_id, second_id = rounds
    one, two = (
        read_job((settings.artifact_root / policy_of(sessions, id_).folder).parent) for id_ in (first_id, second_id)
    )
    reference = [
        [(row.chosen, row.rejected, row.reference_chosen_logps, row.reference_rejected_logps) for row in job.held_out]
        for job in (one, two)
    ]
    assert reference[0] == reference[1] and len(reference[0]) == HELD_OUT
    assert all(row.start_chosen_logps is None for row in one.held_out), "the start is the first model"
    assert all(row.start_chosen_logps != row.reference_chosen_logps for row in two.held_out)
    assert [(row.prompt, row.chosen, row.reference_chosen_logps) for row in one.kl_examples] == [
        (row.prompt, row.chosen, row.reference_chosen_logps) for row in two.kl_examples
    ]
    with sessions() as session:
        curves = [policies.metric_points(session, id_) for id_ in (first_id, second_id)]
    ends, begins = (
        {point.name: point.value for point in points if (point.split, point.step) == ("held_out", step)}
        for points, step in ((curves[0], max(point.step for point in curves[0])), (curves[1], 0))
    )
    for name in ("margin", "loss", "accuracy", "chosen_logps", "rejected_logps", "perplexity"):
        assert begins[name] == pytest.approx(ends[name], rel=1e-4, abs=1e-4), "a round begins where the last one ended"
    assert begins["objective"] == pytest.approx(np.log(2), abs=1e-4), "the method's own starts anew"
    assert begins["margin"] != 0


def test_unit_weights_are_spin_and_need_no_guide(world, rounds):
    settings, sessions, model = world
    run_id = open_ld_align_run.fn(ld_align_config(model, **SPIN))
    speak(settings, sessions, run_id, model)
    weigh_round.fn(run_id, 1, None)
    assert {(one.distance, one.weight) for one in stored(sessions, run_id, 1)} == {(0.0, 1.0)}
    assert len(list((settings.artifact_root / "guides").iterdir())) == 1
    assert ld_align_config(model, **SPIN).method == "spin"
    assert ld_align_config(model, **merged(SPIN, {"rounds": {"weights": "latent_distance"}})).method == "ld_align"
