"""Trainings of a study on a tiny model: one start for all, nothing twice, values by prompt, what is left of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from alignment_world import align_config, count_rows, prefer, tiny_model
from installed import installed

from db import policies
from db.labels import snapshots
from db.prompt_uses import first_turns_held_out, uses_of
from models.storage.folders import publish_folder
from tasks.alignment.data import is_held_out
from tasks.config.exchange import PreferencesConfig
from tasks.labels.exchange import take_snapshot
from tasks.run_kinds import RunAtWork
from tasks.storage import objects_of
from tasks.studies import trainings
from tasks.studies.trainings import drop_weights, figures_of, fine_tuned, responses_of, store_snapshot, trained


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A study at work, a tiny model, preferences to train on and to measure on, and what one training came to."""
    folder = tmp_path_factory.mktemp("trainings")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=6, held_out=3)
        taken = take_snapshot(sessions, PreferencesConfig(), name="all")
        with sessions() as session:
            rows = list(snapshots.snapshot_rows(session, taken.snapshot.id))
        held_out = [snapshots.lineage(row) for row in rows if is_held_out(row.prompt, None, 0.1)]
        train = [snapshots.lineage(row) for row in rows if not is_held_out(row.prompt, None, 0.1)]
        study = RunAtWork(sessions, 1, None, settings)
        config = align_config(
            tiny_model(folder / "model"),
            sft={"epochs": 1, "learning_rate": 1e-3},
            evaluate={"temperature": 1.0},
            train={"evaluate_every": 1},
            data=store_snapshot(study, train, held_out, name="one").model_dump(),
        )
        yield study, config, train, held_out, trained(config)


def test_an_equal_trial_of_another_name_trains_and_measures_nothing_again(world):
    study, config, train, held_out, made = world
    before = count_rows(study.sessions, "Policy"), count_rows(study.sessions, "Evaluation")
    data = store_snapshot(study, train, held_out, name="another")
    again = trained(config.model_copy(update={"data": data, "name": "another"}))
    assert data.snapshot != config.data.snapshot
    assert (again.policy_id, again.evaluation_id, again.start_id) == (made.policy_id, made.evaluation_id, made.start_id)
    assert (count_rows(study.sessions, "Policy"), count_rows(study.sessions, "Evaluation")) == before


def test_all_arms_begin_with_one_fine_tuned_model_whatever_they_chose(world):
    study, config, train, held_out, made = world
    assert fine_tuned(config) == made.start_id
    chosen_id, rejected_id = train[0].chosen_response_id, train[0].rejected_response_id
    turned = [train[0]._replace(chosen_response_id=rejected_id, rejected_response_id=chosen_id), *train[1:]]
    start = config.model.model_copy(update={"name": f"policy:{made.start_id}"})
    other = trained(
        config.model_copy(update={
            "model": start,
            "sft": config.sft.model_copy(update={"epochs": 0.0}),
            "data": store_snapshot(study, turned, held_out, name="turned"),
        })
    )  # fmt: skip
    with study.sessions() as session:
        policy = policies.get_policy(session, other.policy_id)
    assert policy.parent_id == made.start_id and other.policy_id != made.policy_id and other.start_id is None
    assert fine_tuned(config.model_copy(update={"sft": config.sft.model_copy(update={"epochs": 0.0})})) is None


def test_figures_are_means_values_by_prompt_and_curves(world):
    _, _, _, held_out, made = world
    figures = figures_of(made)
    by_prompt = figures["by_prompt"]
    assert by_prompt["prompts"] == by_prompt["compared_prompts"] == sorted(row.prompt_id for row in held_out)
    assert figures["margin"] == pytest.approx(sum(by_prompt["margin"]) / 3, abs=1e-5)
    assert figures["win_rate"] == pytest.approx(sum(by_prompt["win_rate"]) / 3)
    assert figures["win"] + figures["tie"] + figures["lose"] == pytest.approx(1)
    assert [step for step, _ in figures["curves"]["margin"]] == [0, 1, 2]
    assert {"loss", "accuracy", "perplexity", "kl", "bleu_4", "chosen_reward"} <= set(figures)
    assert len(by_prompt["like_length_win_rate"]) == 3
    assert by_prompt["reward_gain"] == [0.0] * 3, "texts of random weights are of no use by the rubric, all alike"


def test_a_trial_trains_on_its_rows_alone_and_holds_nothing_out_for_later_runs(world):
    study, _, train, held_out, made = world
    with study.sessions() as session:
        roles = uses_of(session, made.run_id)
        assert {id_ for id_, role in roles.items() if role == "train"} == {row.prompt_id for row in train}
        assert {id_ for id_, role in roles.items() if role == "held_out"} == {row.prompt_id for row in held_out}
        assert first_turns_held_out(session) == set(), "users may train on what a study measured on"


def test_samples_of_held_out_prompts_stand_beside_those_of_the_start(world):
    (prompt, of_start, of_policy), *others = responses_of(world[4], 2)
    assert prompt and isinstance(of_start, str) and isinstance(of_policy, str) and len(others) == 1


def test_only_large_weights_go_once_a_trial_is_measured(world, monkeypatch):
    study, config, *_, made = world
    assert not drop_weights(study, made.policy_id)
    monkeypatch.setattr(trainings, "LARGE_BYTES", 10)
    assert drop_weights(study, made.policy_id)
    with study.sessions() as session:
        folder = study.settings.artifact_root / policies.get_policy(session, made.policy_id).folder
    assert not folder.exists()
    assert trained(config).policy_id == made.policy_id and folder.exists(), "it is trained again when it is needed"


def test_large_weights_at_the_url_alone_go_too(world, monkeypatch, tmp_path):
    study, _, *_, made = world
    changes = {"artifact_url": tmp_path.as_uri(), "artifact_root": tmp_path / "another host"}
    shared = replace(study, settings=study.settings.model_copy(update=changes))
    with study.sessions() as session:
        stored = policies.get_policy(session, made.policy_id).folder
    objects = objects_of(shared.settings, stored)
    publish_folder(study.settings.artifact_root / stored, objects)
    monkeypatch.setattr(trainings, "LARGE_BYTES", 10)
    assert drop_weights(shared, made.policy_id) and objects.sizes() == {}
    assert not drop_weights(shared, made.policy_id), "there is nothing more"
