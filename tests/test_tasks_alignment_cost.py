"""What an alignment costs beside its computations: reads of its data, opened databases, started processes."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import pytest
from alignment_world import align_config, ld_align_config, prefer, tiny_model

from db.labels import snapshots
from db.policies import get_policy
from models.processes import isolation
from tasks import database, devices
from tasks.alignment import training
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.alignment.training import fine_tune, train_policy
from tasks.devices import keep_process
from tasks.evaluation.comparison import evaluate_policy
from tasks.evaluation.gate import pass_gate
from tasks.reports.policy_publishing import publish_policy
from tasks.runs import working_on

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def step(monkeypatch):
    """Calls a step, and keeps what it did."""
    done, by_step = Counter(), {}

    def counted(module, name, what):
        function = getattr(module, name)

        def call(*arguments, **named):
            done[what] += 1
            return function(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    counted(snapshots, "snapshot_rows", "reads")
    counted(database, "make_engine", "databases")
    counted(isolation, "_start", "processes")

    def call(of, *arguments):
        done.clear()
        result = of.fn(*arguments)
        by_step.setdefault(of.name, []).append(Counter(done))
        return result

    call.by_step = by_step
    return call


def total(step, what):
    return sum(counts[what] for every in step.by_step.values() for counts in every)


def most(step, what):
    """By step."""
    return {name: max(counts[what] for counts in every) for name, every in step.by_step.items()}


def test_an_alignment_reads_its_data_once_a_step_and_starts_five_processes(settings, sessions, step, tmp_path):
    prefer(sessions)
    asked = {"sft": {"epochs": 1}, "evaluate": {"has_drift": True}, "gate": {"promote": True}}
    run_id = step(open_align_run, align_config(tiny_model(tmp_path / "model"), **asked))
    start_id = step(fine_tune, run_id)
    policy_id = step(train_policy, run_id, start_id)
    step(evaluate_policy, run_id, policy_id, start_id)
    step(pass_gate, run_id, policy_id, start_id)
    step(publish_policy, run_id, policy_id)
    assert all(count <= 1 for count in most(step, "reads").values()), most(step, "reads")
    assert most(step, "processes") == {
        "open align run": 0,
        "fine-tune": 1,
        "train": 2,  # samples and log-probabilities of the start model; the training
        "evaluate": 2,  # samples of both; log-probabilities and embeddings
        "gate": 0,
        "publish policy": 0,
    }
    assert total(step, "processes") <= 6
    # A step opens the database once; the time that each process had the device for is added with another.
    databases, processes = most(step, "databases"), most(step, "processes")
    assert all(databases[name] <= 1 + processes[name] for name in databases), databases


def test_without_a_gpu_one_process_serves_all_steps_of_a_run(settings, sessions, step, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "torch_device", lambda: "cpu")
    monkeypatch.setattr(training, "torch_device", lambda: "cpu")
    prefer(sessions)
    asked = {"sft": {"epochs": 1}, "evaluate": {"has_drift": True}}
    run_id = step(open_align_run, align_config(tiny_model(tmp_path / "model"), **asked))
    with working_on(run_id):
        start_id = step(fine_tune, run_id)
        policy_id = step(train_policy, run_id, start_id)
        step(evaluate_policy, run_id, policy_id, start_id)
    assert most(step, "processes") == {"open align run": 0, "fine-tune": 1, "train": 0, "evaluate": 0}


def test_with_a_gpu_no_step_leaves_the_next_a_process(settings, sessions, step, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "torch_device", lambda: "cuda")
    monkeypatch.setattr(training, "torch_device", lambda: "cuda")
    prefer(sessions)
    run_id = step(open_align_run, align_config(tiny_model(tmp_path / "model")))
    with working_on(run_id):
        policy_id = step(train_policy, run_id, None)
        step(evaluate_policy, run_id, policy_id, None)
    # samples and log-probabilities of the start model; the training; samples; log-probabilities
    assert most(step, "processes") == {"open align run": 0, "train": 2, "evaluate": 2}


def test_what_is_trained_is_the_same_in_a_process_of_its_own_and_after_others(settings, sessions, tmp_path):
    prefer(sessions)
    model, weights = tiny_model(tmp_path / "model"), []
    for context in (nullcontext, keep_process):
        run_id = open_align_run.fn(align_config(model, name=context.__name__, sft={"epochs": 1}))
        with context():
            policy_id = train_policy.fn(run_id, fine_tune.fn(run_id))
        with sessions() as session:
            folder = settings.artifact_root / get_policy(session, policy_id).folder
        weights.append((folder / "model.safetensors").read_bytes())
        (settings.artifact_root / "policies").rename(tmp_path / context.__name__)
        (settings.artifact_root / "policies" / "lost" / "model").mkdir(parents=True)  # they are trained again
    assert weights[0] == weights[1]


def test_a_round_reads_its_data_once_a_step(settings, sessions, step, tmp_path):
    prefer(sessions)
    run_id = step(open_ld_align_run, ld_align_config(tiny_model(tmp_path / "model"), rounds={"count": 1}))
    step(weigh_round, run_id, 1, None)
    policy_id = step(train_round, run_id, 1, None, None)
    step(evaluate_policy, run_id, policy_id, None)
    assert all(count <= 1 for count in most(step, "reads").values()), most(step, "reads")
    assert most(step, "processes") == {"open ld-align run": 0, "weigh": 1, "train round": 2, "evaluate": 2}
