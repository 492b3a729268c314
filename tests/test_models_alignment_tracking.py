"""What trackers are told: what comes again is told once, sections by dotted names, what is missing."""

from __future__ import annotations

import sys

import pytest

from models.alignment.records import MetricPoint
from models.alignment.tracking import (
    PROJECT,
    TrackedTraining,
    TrackerMissingError,
    Tracking,
    flat,
    require_trackers,
)

TRAINING = TrackedTraining("0123456789abcdef", "a training", {"policy_id": 3, "training": {"beta": 0.1}})


def points_to(step):
    return [MetricPoint(at, "train", "loss", 1.0 / at) for at in range(1, step + 1)]


def test_a_training_that_goes_on_is_the_same_run_and_tells_only_what_is_new(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (extra mlflow)")
    warnings = []

    def told(points, *, fails=False):
        with Tracking(["mlflow"], TRAINING, job_folder=tmp_path, kept_in=tmp_path, warn=warnings.append) as tracking:
            tracking.send(points[:2])
            tracking.send(points[2:])
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        told(points_to(3), fails=True)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name(PROJECT).experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED"]
    told(points_to(5))  # a training that goes on passes all of its points on again
    [run] = client.search_runs([experiment])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(at, 1.0 / at) for at in range(1, 6)]
    assert run.info.status == "FINISHED" and run.data.params == {"policy_id": "3", "training.beta": "0.1"}
    assert warnings == []


def test_nobody_asked_for_is_told_nothing_and_leaves_no_file(tmp_path):
    with Tracking([], TRAINING, job_folder=tmp_path, kept_in=tmp_path, warn=pytest.fail) as tracking:
        tracking.send(points_to(2))
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_not_there_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TrackerMissingError, match=r"report_to wandb needs .*pip install -e '\.\[wandb\]'"):
        require_trackers(["wandb"])


def test_sections_become_dotted_names_and_long_texts_are_cut():
    found = flat({"policy_id": 3, "train": {"lora": {"rank": 8, "target_modules": ("q", "k")}}, "text": "a" * 900})
    assert found["train.lora.rank"] == 8 and found["train.lora.target_modules"] == "('q', 'k')"
    assert found["policy_id"] == 3 and len(str(found["text"])) == 500
