"""Trainings of two processes over gloo beside the same training of one: what they make, and how they end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alignment_jobs import assert_same_weights, curve, make_examples, make_job, save_llama, trained

from models.alignment import training
from models.alignment.errors import TrainingFailedError
from models.alignment.job import TrainingJob, read_result
from models.alignment.records import Example, LoraSettings, Parallel

pytestmark = pytest.mark.slow
LORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules=(), is_quantized=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def examples(model: str) -> tuple[Example, ...]:
    return make_examples(model)


def of_two(job: TrainingJob, parallel: Parallel) -> TrainingJob:
    return replace(job, folder=job.folder.parent / parallel, processes=2, parallel=parallel)


def run_train(job: TrainingJob) -> None:
    def ignored(*_: object) -> None:
        pass

    training.train(job, log_path=job.folder.parent / "train.log", on_metrics=ignored, on_step=ignored, timeout_s=300)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="dpo"),
        pytest.param({"method": "sft", "lora": LORA, "gradient_checkpointing": True}, id="sft-lora"),
    ],
)
def test_two_processes_train_as_one_does(
    changes: dict[str, Any], parallel: Parallel, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    # Seven examples: in the last step of an epoch one process has two of them, the other one.
    weighted = [replace(one, weight=0.5 + at / 4) for at, one in enumerate(examples[:7])]
    settings = {"evaluate_every": 1, "save_every": 2, "learning_rate": 5e-4, "epochs": 3} | changes
    job = make_job(tmp_path / "whole", model, weighted, **settings)
    whole, both = trained(job), of_two(job, parallel).folder
    run_train(of_two(job, parallel))
    wanted, found = curve(whole), curve(both)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-5, abs=1e-5), name
    assert_same_weights(both, whole, atol=1e-5)
    result, alone = (read_result(folder) or pytest.fail("no result") for folder in (both, whole))
    assert (result[0].steps, result[0].response_tokens) == (alone[0].steps, alone[0].response_tokens)
    lines = [line for folder in (both, whole) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * len((whole / "metrics.jsonl").read_text().splitlines())  # each is told once
