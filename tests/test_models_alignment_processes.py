"""Trainings of two processes over gloo beside the same training of one: what they make, and how they end."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from alignment_jobs import assert_same_weights, curve, make_examples, make_job, mean_difference, save_llama, trained
from engine_processes import FORKED_TRAININGS

from models.alignment import training
from models.alignment.errors import TrainingDivergedError, TrainingFailedError
from models.alignment.job import TrainingJob, checkpoints_folder, read_result
from models.alignment.records import Example, LoraSettings, MetricPoint, Parallel

pytestmark = pytest.mark.slow
NEEDS_DEEPSPEED = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="DeepSpeed is not installed (extra deepspeed)"
)
ZERO2, ZERO3 = (pytest.param(name, marks=NEEDS_DEEPSPEED) for name in ("zero2", "zero3"))
STEPS = 60  # of the trainings that are killed at the tenth
LORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules=(), is_quantized=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def examples(model: str) -> tuple[Example, ...]:
    return make_examples(model)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare both processes their imports; where one is ended, they are started as users start them."""
    monkeypatch.setenv(FORKED_TRAININGS, "1")


def of_two(job: TrainingJob, parallel: Parallel) -> TrainingJob:
    return replace(job, folder=job.folder.parent / parallel, processes=2, parallel=parallel)


class Watcher:
    """Does something once, when so many steps are done."""

    def __init__(self, act: Callable[[], None] = lambda: None, *, at_step: int = 10) -> None:
        self.points: list[MetricPoint] = []
        self.steps: list[int] = []
        self._act, self._at_step = act, at_step

    def on_metrics(self, points: Sequence[MetricPoint]) -> None:
        self.points += points

    def on_step(self, done: int, total: int) -> None:
        self.steps.append(done)
        if done >= self._at_step:
            self._at_step = total + 1
            self._act()


def run_train(job: TrainingJob, watcher: Watcher | None = None) -> None:
    watcher = watcher or Watcher()
    log_path = job.folder.parent / "train.log"
    training.train(job, log_path=log_path, on_metrics=watcher.on_metrics, on_step=watcher.on_step, timeout_s=300)


def processes_of(job: TrainingJob) -> dict[int, psutil.Process]:
    """The live processes that train in the job's folder, by rank."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-1:] == [str(job.folder)] and process.status() != psutil.STATUS_ZOMBIE:
                found[int(process.environ()["RANK"])] = process
    return found


def assert_all_end(job: TrainingJob) -> None:
    deadline = time.monotonic() + 60
    while processes_of(job):
        assert time.monotonic() < deadline, "processes live on"
        time.sleep(0.1)


def assert_same_training(one: Path, other: Path) -> None:
    assert_same_curves(one, other, within=1e-5)
    assert_same_weights(one, other, atol=1e-5)


def assert_same_curves(one: Path, other: Path, *, within: float) -> None:
    found, wanted = curve(one), curve(other)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=within, abs=within), name


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp", ZERO2, ZERO3])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="dpo"),
        pytest.param({"method": "sft", "lora": LORA, "gradient_checkpointing": True}, id="sft-lora"),
        pytest.param({"method": "orpo", "dtype": "bfloat16"}, id="orpo-tied-bfloat16"),
    ],
)
def test_two_processes_train_as_one_does(
    changes: dict[str, Any], parallel: Parallel, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    if changes.get("dtype") == "bfloat16":
        model = save_llama(tmp_path / "tied", tie_word_embeddings=True)
    # Seven examples: in the last step of an epoch one process has two of them, the other one.
    weighted = [replace(one, weight=0.5 + at / 4) for at, one in enumerate(examples[:7])]
    settings = {"evaluate_every": 1, "save_every": 2, "learning_rate": 5e-4, "epochs": 3} | changes
    job = make_job(tmp_path / "whole", model, weighted, **settings)
    whole, both = trained(job), of_two(job, parallel).folder
    run_train(of_two(job, parallel))
    # Sharded, a forward pass in bfloat16 rounds at other places: held-out log-probabilities of 62.84 differ by 0.01.
    if parallel != "ddp" and "dtype" in changes:
        assert_same_curves(both, whole, within=0.05)
        assert mean_difference(both, whole) < 5e-5  # all steps together may move a weight by 3e-3
    else:
        assert_same_training(both, whole)
    result, alone = (read_result(folder) or pytest.fail("no result") for folder in (both, whole))
    assert (result[0].steps, result[0].response_tokens) == (alone[0].steps, alone[0].response_tokens)
    lines = [line for folder in (both, whole) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * len((whole / "metrics.jsonl").read_text().splitlines())  # each is told once


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp", ZERO3])
def test_a_process_without_an_example_of_its_own_takes_part(
    parallel: Parallel, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    # Of the fifth example, of what is held out and of the samples the second process has none.
    job = make_job(tmp_path / "whole", model, examples[:5], evaluate_every=1)
    job = replace(job, held_out=job.held_out[:1], kl_examples=job.kl_examples[:1])
    run_train(of_two(job, parallel))
    assert_same_training(of_two(job, parallel).folder, trained(job))


def times_begun(job: TrainingJob) -> int:
    """How often the training began with nothing, rather than from a checkpoint."""
    lines = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    return lines.count({"done": 0, "total": STEPS})


@pytest.mark.parametrize("parallel", ["ddp", "fsdp", ZERO3])
def test_a_process_that_is_killed_ends_all_and_the_next_run_goes_on(
    parallel: Parallel, tmp_path: Path, model: str, examples: Sequence[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": STEPS // 2, "save_every": 7, "learning_rate": 5e-4}
    whole = make_job(tmp_path / "whole", model, examples[:7], **settings)
    job = of_two(whole, parallel)

    def kill_one() -> None:
        processes_of(job)[1].kill()

    with pytest.raises(
        TrainingFailedError, match=r"process 2 of 2 was ended by signal 9, SIGKILL; out of memory is the usual cause"
    ):
        run_train(job, Watcher(kill_one))
    assert_all_end(job)
    checkpoints = checkpoints_folder(job.folder, parallel, 2)
    # One that was being written is none: its state is written last.
    ended = (path for path in checkpoints.iterdir() if (path / "trainer_state.json").exists())
    checkpoint = max(ended, key=lambda path: int(path.name.rpartition("-")[2]))
    names = {path.name for path in checkpoint.iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= names
    assert ("pytorch_model_fsdp.bin" in names) == (parallel == "fsdp")
    alone = replace(job, folder=Path(shutil.copytree(job.folder, tmp_path / "alone")), processes=1)
    monkeypatch.setenv(FORKED_TRAININGS, "1")
    resumed = Watcher()
    run_train(job, resumed)
    assert resumed.steps[-1] == STEPS
    assert times_begun(job) == 1
    assert_same_weights(job.folder, trained(whole), atol=1e-4)
    # One process goes on from whole weights. From shards it cannot: it begins anew, and leaves none behind.
    trained(alone)
    assert times_begun(alone) == (1 if parallel == "ddp" else 2)
    assert_same_weights(alone.folder, whole.folder, atol=1e-4)
    assert not list(alone.folder.glob("checkpoints*"))


def test_an_interruption_ends_all_processes(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    job = of_two(make_job(tmp_path / "job", model, examples, epochs=1000), "ddp")

    def interrupt() -> None:
        assert processes_of(job).keys() == {0, 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_train(job, Watcher(interrupt))
    assert_all_end(job)


def test_a_failure_is_told_as_what_it_is(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    job = of_two(make_job(tmp_path / "job", model, examples, learning_rate=1e30), "fsdp")
    with pytest.raises(TrainingDivergedError, match="expected a finite loss"):
        run_train(job)
    assert_all_end(job)
