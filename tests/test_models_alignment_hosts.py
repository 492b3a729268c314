"""Trainings of several hosts by a file of `accelerate config`: two launches beside each other imitate the hosts."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alignment_jobs import assert_same_weights, curve, make_examples, make_job, save_llama, trained

from models.alignment import training
from models.alignment.launching import command_of_other_hosts

CONFIG = """compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
machine_rank: 0
num_machines: 2
num_processes: 2
main_process_ip: 127.0.0.1
main_process_port: {port}
rdzv_backend: static
same_network: true
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.slow
def test_two_hosts_train_as_one_process_does(tmp_path: Path) -> None:
    model = save_llama(tmp_path / "llama")
    # Seven examples: in the last step of an epoch one host has two of them, the other one.
    weighted = [replace(one, weight=0.5 + at / 4) for at, one in enumerate(make_examples(model)[:7])]
    job = make_job(tmp_path / "whole", model, weighted, evaluate_every=1, save_every=2, learning_rate=5e-4)
    whole, config = trained(job), tmp_path / "accelerate.yaml"
    config.write_text(CONFIG.format(port=free_port()))
    job = replace(job, folder=tmp_path / "hosts", parallel="fsdp", accelerate_config=str(config))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--machine_rank", "1"]
    # The second host is there first, before there is a job: it waits for the first.
    other = subprocess.Popen([*launcher, "-m", "models.alignment.training", str(job.folder)])
    try:
        log_path = tmp_path / "train.log"
        training.train(job, log_path=log_path, on_metrics=lambda _: None, on_step=lambda *_: None, timeout_s=600)
        assert other.wait(60) == 0
    finally:
        other.kill()
        other.wait()
    found, wanted = curve(job.folder), curve(whole)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-5, abs=1e-5), name
    assert_same_weights(job.folder, whole, atol=1e-5)


def test_what_other_hosts_run_is_told_where_there_are_any(tmp_path: Path) -> None:
    config = tmp_path / "accelerate.yaml"
    config.write_text(CONFIG.format(port=1))
    folder = Path("folder").absolute()
    two = f"accelerate launch --config_file {config} --machine_rank N -m models.alignment.training {folder} (N: 1)"
    assert command_of_other_hosts(Path("folder"), str(config)) == two
    config.write_text(CONFIG.replace("num_machines: 2", "num_machines: 3"))
    assert command_of_other_hosts(Path("folder"), str(config)) == two.replace("(N: 1)", "(N: 1 to 2)")
    config.write_text("num_processes: 1\n")
    assert command_of_other_hosts(Path("folder"), str(config)) is None


@pytest.mark.parametrize(
    ("variable", "kind"), [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DEEPSPEED")]
)
def test_a_file_that_shares_the_model_out_itself_is_refused(
    variable: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_llama(tmp_path / "llama")
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ValueError, match=f"of the kind {kind}, which would round log-probabilities.* fsdp, zero2 or"):
        trained(make_job(tmp_path / "job", model, make_examples(model)))
