"""One policy trained by two hosts that share a URL: the first one's weights are everybody's, and the row names them."""

from __future__ import annotations

import shutil
import threading
import time

import pytest
from alignment_world import align_config, prefer, store_samples, tiny_model
from sqlalchemy import update
from surroundings import on_sqlite

from db import policies
from db.engine import alone
from db.schema.policies import Policy
from models.fingerprint import model_fingerprint
from models.storage import StorageGoneError
from models.storage.folders import publish_folder
from tasks.alignment.opening import open_align_run
from tasks.alignment.training import train_policy
from tasks.errors import WeightsMissingError
from tasks.run_kinds import load_alignment
from tasks.settings import Settings
from tasks.storage import objects_of

pytestmark = on_sqlite


@pytest.fixture
def world(settings, sessions, monkeypatch, tmp_path):
    """A run that is to train, and its settings; artifacts are shared by a folder."""
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", (tmp_path / "shared").as_uri())
    prefer(sessions, train=4, held_out=1)
    model = tiny_model(tmp_path / "model")
    run_id = open_align_run.fn(config := align_config(model))
    with sessions() as session:
        fixed = load_alignment(session, run_id)
    store_samples(sessions, fixed, model, settings, lambda _: "How are you?")
    return run_id, config, sessions


def policy_of(sessions, policy_id):
    with sessions() as session:
        return policies.get_policy(session, policy_id)


def set_status(sessions, policy_id, status):
    with sessions.begin() as session:
        session.execute(update(Policy).filter_by(id=policy_id).values(status=status))


def move_to(folder, patch):
    patch.setenv("ANTIPODE_ARTIFACT_ROOT", str(folder))
    return Settings()


def test_a_host_that_died_before_it_said_so_is_gone_on_from_with_its_weights(world, monkeypatch, tmp_path):
    run_id, _, sessions = world
    policy_id = train_policy.fn(run_id, None)
    folder = policy_of(sessions, policy_id).folder
    shutil.copytree(Settings().artifact_root / folder, first := tmp_path / "first")
    (first / "config.json").write_text((first / "config.json").read_text() + "\n")  # as if of other bits
    objects = objects_of(Settings(), folder)
    objects.remove("")
    publish_folder(first, objects)
    set_status(sessions, policy_id, policies.TRAINING)  # it died before it said that it was done
    there = move_to(tmp_path / "other", monkeypatch)
    assert train_policy.fn(run_id, None) == policy_id
    stored = policy_of(sessions, policy_id)
    assert stored.status == policies.TRAINED
    assert stored.fingerprint == model_fingerprint(str(first), None)
    assert model_fingerprint(str(there.artifact_root / folder), None) == stored.fingerprint


def test_a_host_waits_for_one_that_trains_the_same_policy(world, monkeypatch, tmp_path, capfd):
    run_id, _, sessions = world
    policy_id = train_policy.fn(run_id, None)
    policy = policy_of(sessions, policy_id)
    set_status(sessions, policy_id, policies.TRAINING)
    there = move_to(tmp_path / "other", monkeypatch)
    waiting = threading.Thread(target=train_policy.fn, args=(run_id, None))
    with alone(sessions, f"policy {policy.key[:16]}") as is_free:
        assert is_free
        waiting.start()
        told, deadline = "", time.monotonic() + 120
        while "another process trains this very policy" not in told and time.monotonic() < deadline:
            told += capfd.readouterr().err
            time.sleep(0.1)
        set_status(sessions, policy_id, policies.TRAINED)  # the other host is done
    waiting.join()
    own = (there.artifact_root / policy.folder).parent
    assert [path.name for path in own.iterdir()] == ["model"], "fetched, and not trained again"
    assert policy_of(sessions, policy_id) == policy


def test_a_url_that_is_gone_after_the_training_fails_the_policy_in_words(world, monkeypatch):
    run_id, _, sessions = world
    monkeypatch.setenv("ANTIPODE_ARTIFACT_WAIT_S", "0")
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", "s3://nobody/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageGoneError):
        train_policy.fn(run_id, None)
    with sessions() as session:
        (failed,) = policies.list_policies(session)
    assert failed.status == policies.FAILED and "did not answer within 0 s" in failed.error


def test_where_all_weights_are_gone_the_url_is_named_too(world, tmp_path):
    run_id, _, _ = world
    train_policy.fn(run_id, None)
    shutil.rmtree(tmp_path / "shared")
    shutil.rmtree(Settings().artifact_root / "policies")
    with pytest.raises(WeightsMissingError, match=f"nor does {(tmp_path / 'shared').as_uri()}/policies; bring it back"):
        train_policy.fn(run_id, None)
