"""The training steps on a tiny model: what is trained once, what is stored, what a failure leaves behind."""

from __future__ import annotations

import math
from dataclasses import replace

import alignment_jobs
import pytest
import torch
from alignment_jobs import assert_same_weights, logps_of
from alignment_world import align_config, count_rows, prefer, store_samples, tiny_model
from engine_processes import FORKED_TRAININGS
from installed import installed

from db import evaluations, policies, runs
from models.alignment import launching
from models.alignment.errors import NothingToTrainError
from models.alignment.job import checkpoints_folder, read_job
from models.alignment.records import PolicyIdentity
from models.errors import ModelLoadError
from models.evaluation.measurements import HeldOut
from models.fingerprint import model_fingerprint
from models.records import content_key
from tasks.alignment import training
from tasks.alignment.data import read_data
from tasks.alignment.opening import open_align_run
from tasks.alignment.training import fine_tune, train_policy
from tasks.errors import WeightsMissingError
from tasks.evaluation.comparison import evaluate_policy
from tasks.named_models import NamedModel, find_model
from tasks.run_kinds import load_alignment
from tasks.runs import recorded

STEPS = 2  # six examples in batches of four, one epoch
LEFT_OUT = 1e9


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Preferences, a model and the first policy trained on them: settings, sessions, the model, the policy's id."""
    folder = tmp_path_factory.mktemp("alignment")
    with installed(folder) as (settings, sessions):
        prefer(sessions)
        model = tiny_model(folder / "model")
        yield settings, sessions, model, trained(settings, sessions, align_config(model))


def trained(settings, sessions, config):
    """Train as the flow does; what the start model says to the held-out prompts is stored before."""
    run_id = open_align_run.fn(config)
    with recorded(run_id):
        with sessions() as session:
            fixed = load_alignment(session, run_id)
        store_samples(sessions, fixed, config.model.name, settings, lambda _: "How are you?")
        start_id = fine_tune.fn(run_id)
        return train_policy.fn(run_id, start_id)


def policy_of(sessions, policy_id):
    with sessions() as session:
        return policies.get_policy(session, policy_id)


def points_of(sessions, policy_id):
    with sessions() as session:
        return policies.metric_points(session, policy_id)


def folders_of(settings):
    return sorted(path.name for path in (settings.artifact_root / "policies").iterdir())


def test_a_policy_says_where_it_comes_from(world):
    _settings, sessions, model, policy_id = world
    policy = policy_of(sessions, policy_id)
    start = model_fingerprint(model, None)
    assert (policy.status, policy.method, policy.round, policy.parent_id) == ("trained", "dpo", 1, None)
    assert (policy.start_model, policy.start_fingerprint, policy.snapshot_id) == (model, start, 1)
    assert policy.code_version.startswith("0.") and set(policy.library_versions) == {
        "torch", "transformers", "accelerate", "peft",
    }  # fmt: skip
    assert all(policy.library_versions.values())
    assert policy.settings["learning_rate"] == 1e-3 and policy.settings["beta"] == 0.1
    with sessions() as session:
        rows = read_data(session, align_config(model, data={"snapshot": 1})).preferences.train
    data_hash = content_key([[row.prompt.key, row.chosen, row.rejected, 1.0] for row in rows])
    assert policy.data_hash == data_hash
    assert policy.key == PolicyIdentity(start, data_hash, policy.settings).key


def test_the_model_lies_where_the_policy_says_and_can_be_named(world):
    settings, sessions, model, policy_id = world
    policy = policy_of(sessions, policy_id)
    folder = settings.artifact_root / policy.folder
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert policy.fingerprint == model_fingerprint(str(folder), None) != policy.start_fingerprint
    named = find_model(sessions, f"policy:{policy_id}", align_config(model).model, settings)
    assert named == NamedModel(f"policy:{policy_id}", str(folder), None, policy.fingerprint, policy_id)
    assert policy.seconds > 0 and policy.peak_memory_bytes > 0 and policy.metrics["response_tokens"] > 0


def test_what_every_step_measured_is_in_the_database(world):
    _, sessions, _, policy_id = world
    found = points_of(sessions, policy_id)
    assert {point.step for point in found if point.split == "train"} == {1, STEPS}
    assert {point.step for point in found if point.split == "held_out"} == {0, STEPS}
    names = {point.name for point in found if point.split == "held_out"}
    assert {"margin", "loss", "accuracy", "perplexity", "kl"} <= names
    at_start = {point.name: point.value for point in found if (point.split, point.step) == ("held_out", 0)}
    assert at_start["margin"] == pytest.approx(0, abs=1e-4) and at_start["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert at_start["kl"] == pytest.approx(0, abs=1e-4), "the policy still is the model it starts from"


def test_adapters_at_a_rate_for_all_weights_are_warned_of_before_they_are_trained_and_not_again(world, capsys):
    settings, sessions, model, _ = world
    config = align_config(model, train={"learning_rate": None, "lora": {"rank": 2}})
    told = []
    for _ in range(2):
        trained(settings, sessions, config)
        told.append("hardly move at the learning rate 5e-07" in capsys.readouterr().err)
    assert told == [True, False]


def test_the_same_command_again_trains_nothing(world):
    settings, sessions, model, policy_id = world
    before, scored = policy_of(sessions, policy_id), count_rows(sessions, "ResponseLogp")
    weights = settings.artifact_root / before.folder / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert trained(settings, sessions, align_config(model, name="again")) == policy_id
    assert policy_of(sessions, policy_id) == before and weights.stat().st_mtime_ns == written
    assert count_rows(sessions, "ResponseLogp") == scored


@pytest.mark.slow
def test_two_processes_share_the_reference_and_the_training_and_make_the_same_policy(world, tmp_path, monkeypatch):
    monkeypatch.setenv(FORKED_TRAININGS, "1")
    settings, sessions, model, _ = world
    config = align_config(model, name="of two", seed=5, train={"processes": 2, "examples_per_device": 2})
    policy = policy_of(sessions, trained(settings, sessions, config))
    job = read_job(settings.artifact_root / "policies" / policy.key[:16])
    assert job.processes == 2
    alone = align_config(model, name="of one", seed=5, train={"examples_per_device": 2})
    assert trained(settings, sessions, alone) == policy.id  # it is found, not trained
    for example, wanted in zip(job.train, logps_of(model, job.train), strict=True):
        assert (example.reference_chosen_logps, example.reference_rejected_logps) == pytest.approx(wanted, abs=1e-4)
    folder = alignment_jobs.trained(replace(job, folder=tmp_path / "alone", processes=1))
    assert_same_weights(job.folder, folder, atol=1e-5)


def test_more_processes_than_gpus_are_refused_before_the_reference_is_computed(world, monkeypatch):
    settings, sessions, model, _ = world
    monkeypatch.setattr(launching, "torch_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    scored = count_rows(sessions, "ResponseLogp")
    # In bfloat16 nothing has been computed yet.
    changes = {"processes": 2, "examples_per_device": 2, "dtype": "bfloat16"}
    with pytest.raises(ValueError, match="2 processes need a GPU each, this host has 1; lower processes"):
        trained(settings, sessions, align_config(model, name="of two", seed=5, train=changes))
    assert count_rows(sessions, "ResponseLogp") == scored


def test_a_training_that_a_person_stops_says_so_in_its_policy_and_its_run(world, monkeypatch):
    settings, sessions, model, _ = world
    run_id = open_align_run.fn(align_config(model, name="stopped", seed=12))
    with sessions() as session:
        fixed = load_alignment(session, run_id)
    store_samples(sessions, fixed, model, settings, lambda _: "How are you?")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(KeyboardInterrupt), recorded(run_id):
        train_policy.fn(run_id, None)
    with sessions() as session:
        (stopped,) = [one for one in policies.list_policies(session) if one.run_id == run_id]
        assert (stopped.status, stopped.error) == (policies.FAILED, "stopped")
        assert runs.get_run(session, run_id).status == runs.STOPPED


def test_a_training_that_cannot_go_on_from_the_checkpoints_of_another_kind_says_that_it_begins_anew(
    world, monkeypatch, capsys
):
    settings, sessions, model, _ = world
    config = align_config(model, name="shared out", seed=13)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def interrupted(job, **_):
            (checkpoints_folder(job.folder, "fsdp", 2) / "checkpoint-3").mkdir(parents=True)
            raise KeyboardInterrupt

        patched.setattr(training, "train", interrupted)
        trained(settings, sessions, config)
    capsys.readouterr()
    policy = policy_of(sessions, trained(settings, sessions, config))
    assert f"policy {policy.id} begins anew: the checkpoints in " in capsys.readouterr().err
    assert policy.status == policies.TRAINED


def test_what_ends_before_the_training_itself_is_told_too(world, monkeypatch):
    settings, sessions, model, _ = world
    config = align_config(model, name="no reference", seed=17)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        patched.setattr(training, "response_logps", interrupted)
        trained(settings, sessions, config)
    with sessions() as session:
        newest = policies.list_policies(session)[0]
    assert (newest.name, newest.status, newest.error) == ("no reference", policies.FAILED, "stopped")
    assert trained(settings, sessions, config) == newest.id
    assert policy_of(sessions, newest.id).status == policies.TRAINED


def test_a_training_of_another_seed_that_failed_says_why_and_the_same_command_takes_it_up(world, tmp_path):
    settings, sessions, model, policy_id = world
    config = align_config(model, name="fails", seed=11)
    before, known = policy_of(sessions, policy_id), folders_of(settings)
    run_id = open_align_run.fn(config)
    with sessions() as session:
        fixed = load_alignment(session, run_id)
    store_samples(sessions, fixed, model, settings, lambda _: "How are you?")
    folder = settings.artifact_root / "policies"
    kept = folder.rename(tmp_path / "kept")
    folder.write_text("")  # the superuser ignores permissions: a file stands where the folder was
    with pytest.raises(OSError), recorded(run_id):
        train_policy.fn(run_id, None)
    folder.unlink()
    kept.rename(folder)
    with sessions() as session:
        (failed,) = [one for one in policies.list_policies(session) if one.run_id == run_id]
        assert runs.get_run(session, run_id).status == runs.FAILED
    assert failed.status == policies.FAILED and failed.error and failed.folder is None
    with pytest.raises(LookupError, match=f"policy {failed.id} is not trained"):
        find_model(sessions, f"policy:{failed.id}", config.model, settings)
    assert open_align_run.fn(config) == run_id
    with recorded(run_id):
        assert train_policy.fn(run_id, None) == failed.id
    ended = policy_of(sessions, failed.id)
    assert (ended.status, ended.error) == (policies.TRAINED, None)
    assert ended.key != before.key and ended.settings == before.settings | {"seed": 11}
    assert (ended.data_hash, ended.start_fingerprint) == (before.data_hash, before.start_fingerprint)
    assert policy_of(sessions, policy_id) == before and set(known) < set(folders_of(settings))


def test_each_response_is_scored_once_and_those_too_long_leave_nothing_to_train(world):
    settings, sessions, model, policy_id = world
    before, scored = policy_of(sessions, policy_id), count_rows(sessions, "ResponseLogp")
    texts, samples = 2 * 9, 3
    assert texts + samples - 2 <= scored <= texts + samples, "a response that does not fit has no row"
    config = align_config(model, name="short", train={"method": "ipo", "max_length": 8})
    with pytest.raises(NothingToTrainError, match="over 8"):
        trained(settings, sessions, config)
    with sessions() as session:
        newest = policies.list_policies(session)[0]
        assert runs.get_run(session, newest.run_id).status == runs.FAILED
    assert (newest.status, newest.method) == (policies.FAILED, "ipo") and "over 8" in newest.error
    assert count_rows(sessions, "ResponseLogp") == scored, "another method has the same reference"
    assert policy_of(sessions, policy_id) == before


def test_what_the_evaluation_measures_is_what_the_training_measured_last(world):
    settings, sessions, model, policy_id = world
    run_id = open_align_run.fn(align_config(model, name="measured"))
    with sessions() as session:
        fixed = load_alignment(session, run_id)
    for name in (model, f"policy:{policy_id}"):
        store_samples(sessions, fixed, name, settings, lambda _: "How are you?")
    with recorded(run_id):
        first = evaluate_policy.fn(run_id, policy_id, None)
        before = evaluation_of(sessions, first)
        assert evaluate_policy.fn(run_id, policy_id, None) == first
        assert evaluation_of(sessions, first) == before, "nothing is measured twice"
        with sessions.begin() as session:
            other = replace(before.metrics, held_out=HeldOut("other", None, None))
            evaluations.finish_evaluation(session, first, other)
        evaluate_policy.fn(run_id, policy_id, None)
    again = evaluation_of(sessions, first)
    assert again.metrics == before.metrics, "other preferences are held out now"
    last = {point.name: point.value for point in points_of(sessions, policy_id) if point.split == "held_out"}
    measured = {name: found.value for name, found in again.metrics.held_out.rewards.intervals.items()}
    assert {name: last[name] for name in measured} == pytest.approx(measured, rel=1e-3, abs=1e-4)


def evaluation_of(sessions, evaluation_id):
    with sessions() as session:
        return evaluations.get_evaluation(session, evaluation_id)


def test_absent_policies_are_not_trained_again_unasked(world, tmp_path, monkeypatch):
    settings, sessions, model, policy_id = world
    before, folder = policy_of(sessions, policy_id), settings.artifact_root / "policies"
    kept = folder.rename(tmp_path / "kept")
    monkeypatch.setattr(training, "train", None)  # never called
    try:
        for stand_in in (None, folder.mkdir):  # gone; the empty folder that a share is mounted on
            if stand_in:
                stand_in()
            with pytest.raises(WeightsMissingError, match=r"holds none; bring it back \(is the disk or share mounted"):
                trained(settings, sessions, align_config(model))
            with pytest.raises(ModelLoadError, match=r"is not there; bring it back"):
                find_model(sessions, f"policy:{policy_id}", align_config(model).model, settings)
        folder.rmdir()
    finally:
        kept.rename(folder)
    assert trained(settings, sessions, align_config(model)) == policy_id
    assert policy_of(sessions, policy_id) == before


def test_a_policy_whose_files_changed_is_no_policy(world):
    settings, sessions, model, policy_id = world
    weights = settings.artifact_root / policy_of(sessions, policy_id).folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(ModelLoadError, match="are not those that were trained"):
            find_model(sessions, f"policy:{policy_id}", align_config(model).model, settings)
    finally:
        weights.write_bytes(content)
    (weights.parent / ".cache").mkdir()
    (weights.parent / ".cache" / "upload").write_text("left by a tool")
    assert find_model(sessions, f"policy:{policy_id}", align_config(model).model, settings).policy_id == policy_id
