"""A training told to real trackers on this machine: under which names, with which settings, and what a failure does."""

from __future__ import annotations

import json
import sqlite3
import struct

import pytest
from alignment_world import align_config, prefer, store_samples, tiny_model
from surroundings import on_sqlite

from db import policies
from models.alignment.tracking import PROJECT
from tasks.alignment.opening import open_align_run
from tasks.alignment.training import fine_tune, train_policy
from tasks.run_kinds import load_alignment
from tasks.runs import recorded


@pytest.fixture
def trained(sessions, settings, tmp_path, monkeypatch):
    """Trains on preferences with these trackers; returns the policy's record and its points by name and step."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    prefer(sessions)
    model = tiny_model(tmp_path / "model")

    def train(*report_to):
        config = align_config(model, train={"report_to": report_to})
        run_id = open_align_run.fn(config)
        with recorded(run_id):
            with sessions() as session:
                fixed = load_alignment(session, run_id)
            store_samples(sessions, fixed, model, settings, lambda _: "How are you?")
            policy_id = train_policy.fn(run_id, fine_tune.fn(run_id))
        with sessions() as session:
            points = policies.metric_points(session, policy_id)
            found = {(f"{point.split}/{point.name}", point.step): point.value for point in points}
            return policies.get_policy(session, policy_id), found

    return train


@on_sqlite
def test_mlflow_holds_every_point_and_the_settings_of_the_policy(trained, settings):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (extra mlflow)")
    policy, points = trained("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{settings.artifact_root}/tracking/mlflow/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name(PROJECT).experiment_id])
    names = {name for name, _ in points}
    assert run.data.metrics.keys() == names and {"train/loss", "held_out/margin"} <= names
    history = {
        (name, one.step): one.value for name in names for one in client.get_metric_history(run.info.run_id, name)
    }
    assert history == pytest.approx(points)
    told = run.data.params
    assert (told["policy_id"], told["run_id"], told["method"]) == (str(policy.id), str(policy.run_id), "dpo")
    assert told["training.learning_rate"] == "0.001" and told["config.train.batch_size"] == "4"
    assert (run.info.run_name, run.info.status) == (f"alignment, policy {policy.id}", "FINISHED")


@on_sqlite
def test_trackio_holds_every_point_and_prints_nothing_among_the_results(
    trained, settings, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="trackio is not installed (extra trackio)")
    policy, points = trained("trackio")
    assert "rackio" not in capsys.readouterr().out
    with sqlite3.connect(trackio.utils.TRACKIO_DIR / f"{PROJECT}.db") as database:
        rows = database.execute("SELECT step, metrics FROM metrics").fetchall()
        [(config,)] = database.execute("SELECT config FROM configs").fetchall()
    told = {(name, step): value for step, values in rows for name, value in json.loads(values).items()}
    assert told == pytest.approx(points)
    assert json.loads(config)["policy_id"] == policy.id and json.loads(config)["training.beta"] == 0.1


def records_in(content, block=32_768):
    """The records of a log as LevelDB writes it, behind seven bytes of its own: in parts that cross no block."""
    at, record = 7, b""
    while at < len(content):
        if block - at % block < 7:
            at += block - at % block
        _, length, part = struct.unpack_from("<IHB", content, at)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if part in (1, 4):  # whole, or the last part
            yield record
            record = b""


@on_sqlite
def test_weights_and_biases_offline_keeps_the_run_to_be_sent_later(trained, settings, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed (extra wandb)")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    policy, points = trained("wandb")
    [path] = (settings.artifact_root / "tracking" / "wandb").glob("wandb/offline-run-*/run-*.wandb")
    told, config = {}, {}
    for record in map(Record.FromString, records_in(path.read_bytes())):
        items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        told |= {(name, record.history.step.num): json.loads(value) for name, value in items.items() if "/" in name}
        config |= {update.key: update.value_json for update in record.run.config.update}
    assert told == pytest.approx(points)
    assert config["policy_id"] == str(policy.id) and config["config.train.batch_size"] == "4"


@on_sqlite
def test_a_tracker_that_fails_is_warned_of_once_and_the_policy_is_trained(trained, monkeypatch, capsys):
    pytest.importorskip("mlflow", reason="MLflow is not installed (extra mlflow)")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    policy, _ = trained("mlflow")
    assert policy.status == "trained"
    assert capsys.readouterr().err.count("mlflow is told no more of alignment, policy 1") == 1
