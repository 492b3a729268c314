"""What ends a training before its time: what is said, what stays, and how the next run goes on from it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alignment_jobs import (
    TrainingHaltedAtStepTen,
    assert_same_weights,
    curve,
    make_examples,
    make_job,
    save_llama,
    trained,
)
from engine_processes import live_engines
from small_disks import fill_up, largest_file, mounted

from models.alignment import training
from models.alignment.errors import (
    DeviceMemoryError,
    DiskFullError,
    FolderInUseError,
    NothingToTrainError,
    TrainingDivergedError,
    TrainingFailedError,
)
from models.alignment.job import TrainingJob, only_process, read_result
from models.alignment.records import Example, LoraSettings, Method, MetricPoint, TrainingResult, UnfitExample
from models.errors import ModelLoadError, ProcessDiedError

ROUNDS = {"epochs": 100, "save_every": 7, "evaluate_every": 50}  # 200 steps, some seconds
ALONE = """compute_environment: LOCAL_MACHINE
distributed_type: 'NO'
num_processes: 1
use_cpu: true
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def examples(model: str) -> tuple[Example, ...]:
    return make_examples(model)


class Watcher:
    """Takes what `train` tells, and kills the training's process once it has made so many steps."""

    def __init__(self, *, kills_at: int | None = None) -> None:
        self.points: dict[tuple[str, str], dict[int, float]] = {}
        self.steps: list[tuple[int, int]] = []
        self._kills_at = kills_at

    def on_metrics(self, points: Sequence[MetricPoint]) -> None:
        for point in points:
            self.points.setdefault((point.split, point.name), {})[point.step] = point.value

    def on_step(self, done: int, total: int) -> None:
        self.steps.append((done, total))
        if self._kills_at is not None and done >= self._kills_at:
            os.kill(training_process(), signal.SIGKILL)


def training_process() -> int:
    """The one engine of this process that lives."""
    (engine,) = live_engines()
    return engine


def run_train(job: TrainingJob, watcher: Watcher) -> tuple[TrainingResult, tuple[UnfitExample, ...]]:
    log_path = job.folder.parent / "train.log"
    return training.train(job, log_path=log_path, on_metrics=watcher.on_metrics, on_step=watcher.on_step, timeout_s=120)


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("checkpoint-*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB: one checkpoint of the tiny model (1.2 MB) has room, the next one has not."""
    with mounted(tmp_path / "disk", "2m") as folder:
        yield folder


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights_and_curve(
    tmp_path: Path, model: str, examples: Sequence[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path / "killed", model, examples, **ROUNDS)
    first = Watcher(kills_at=10)
    with monkeypatch.context() as patched, pytest.raises(ProcessDiedError):
        patched.setattr(training, "TrainingProcess", TrainingHaltedAtStepTen)
        run_train(job, first)
    assert first.steps[-1] == (10, 200)
    assert checkpoints(job.folder)
    assert not (job.folder / "model").exists()
    with (job.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "spl')  # as a kill in the middle of a line leaves it
    second = Watcher()
    result, unfit = run_train(job, second)
    assert (result.steps, unfit) == (200, ())
    whole = trained(make_job(tmp_path / "whole", model, examples, **ROUNDS))
    assert_same_weights(job.folder, whole)
    assert curve(job.folder) == curve(whole)
    assert result.response_tokens == read_result(whole)[0].response_tokens > 0  # not of the second process alone
    assert second.points == curve(whole)
    assert second.steps[-1] == (200, 200)
    lines = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines.count({"done": 0, "total": 200}) == 1  # it did not start again from nothing
    assert checkpoints(job.folder) == []


def test_a_finished_training_is_not_done_again(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    job = make_job(tmp_path / "job", model, examples)
    trained(job)
    before = (job.folder / "result.json").stat().st_mtime_ns
    watcher = Watcher()
    started = time.monotonic()
    assert run_train(replace(job, model="no such model"), watcher) == read_result(job.folder)
    assert time.monotonic() - started < 1
    assert not (tmp_path / "train.log").exists()  # no process was started
    assert (job.folder / "result.json").stat().st_mtime_ns == before
    assert watcher.points == curve(job.folder)  # whoever was killed before it had them gets them now


def stopped_before_its_model(folder: Path, job: TrainingJob) -> None:
    """All steps done and saved, but no model: a file lies where its draft has to go."""
    folder.mkdir(parents=True)
    (folder / ".draft").touch()
    with pytest.raises(OSError, match="draft"):
        trained(job)
    (folder / ".draft").unlink()


@pytest.mark.parametrize("torn", [(), (4,), (3, 4)])
def test_a_torn_checkpoint_is_skipped(
    torn: Sequence[int], tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    job = make_job(tmp_path / "job", model, examples, save_every=1)
    stopped_before_its_model(job.folder, job)
    assert checkpoints(job.folder) == ["checkpoint-3", "checkpoint-4"]
    for step in torn:
        state = job.folder / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json"
        if step == 4:
            state.unlink()
        else:
            state.write_text(state.read_text()[:100])
    trained(job)
    lines = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    began = [line["done"] for line in lines if "done" in line][5:]
    assert began[0] == {(): 4, (4,): 3, (3, 4): 0}[tuple(torn)]
    whole = trained(make_job(tmp_path / "whole", model, examples))
    assert_same_weights(job.folder, whole)
    assert curve(job.folder) == curve(whole)
    result, _ = read_result(job.folder) or pytest.fail("no result")
    assert result.metrics["loss"] == curve(whole)["held_out", "loss"][4]


def test_lora_with_dropout_goes_on_to_the_same_weights(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    lora = LoraSettings(rank=4, alpha=8, dropout=0.2, target_modules=("q_proj",), is_quantized=False)
    job = make_job(tmp_path / "job", model, examples, save_every=1, lora=lora)
    stopped_before_its_model(job.folder, job)
    shutil.rmtree(job.folder / "checkpoints" / "checkpoint-4")
    trained(job)
    assert_same_weights(job.folder, trained(replace(job, folder=tmp_path / "whole")))


def test_a_loss_that_is_not_finite_stops_it_and_keeps_the_checkpoints(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    job = make_job(tmp_path / "job", model, examples, learning_rate=1e30, save_every=1)
    with pytest.raises(TrainingDivergedError, match="lower the learning rate") as caught:
        trained(job)
    assert caught.value.step == 2
    assert checkpoints(job.folder) == ["checkpoint-1"]
    assert not (job.folder / "model").exists()
    assert read_result(job.folder) is None


def test_a_last_step_that_ruins_the_model_is_seen_by_what_is_held_out(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    # Infinite in float32: after 1e30, Llama's norms make zeros of what overflows, and every token is as likely.
    job = make_job(tmp_path, model, examples, learning_rate=1e39, batch_size=8, epochs=1)
    with pytest.raises(TrainingDivergedError, match=r"a held-out .* at step 1"):
        trained(job)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_is_not_applied(
    max_grad_norm: float, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    heavy = [replace(examples[0], weight=1e38), *examples[1:4]]  # loss 7e37, but the gradient's square overflows
    with pytest.raises(TrainingDivergedError, match="a gradient of norm inf at step 1"):
        trained(make_job(tmp_path, model, heavy, max_grad_norm=max_grad_norm))


def test_a_full_disk_keeps_the_last_checkpoint_and_a_later_run_goes_on(
    tmp_path: Path, small_disk: Path, model: str, examples: Sequence[Example]
) -> None:
    job = make_job(small_disk / "job", model, examples, save_every=1)
    with pytest.raises(DiskFullError, match=r"no room to save in .*/disk/job: \d+ bytes are free; make room") as caught:
        trained(job)
    assert caught.value.folder == str(job.folder)
    assert checkpoints(job.folder) == ["checkpoint-1"]
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    trained(job)
    done = [line for line in (job.folder / "metrics.jsonl").read_text().splitlines() if '"done"' in line]
    assert done.count('{"done": 1, "total": 4}') == 2  # step 1 was reached, then begun from
    whole = trained(make_job(tmp_path / "whole", model, examples))
    assert_same_weights(job.folder, whole)
    assert curve(job.folder) == curve(whole)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_disk_full_from_the_start_is_told_as_such(small_disk: Path, model: str, examples: Sequence[Example]) -> None:
    job = make_job(small_disk / "job", model, examples)
    job.folder.mkdir()
    fill_up(small_disk)
    with pytest.raises(DiskFullError, match="make room and run again"):
        trained(job)
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    assert read_result(trained(job)) is not None
    assert set(curve(job.folder)["train", "loss"]) == {1, 2, 3, 4}


@pytest.mark.parametrize("save_every", [0, 1])  # the model is 0.4 MB, the optimizer's state 0.8 MB
def test_a_file_too_large_leaves_nothing_torn(
    save_every: int, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    job = make_job(tmp_path, model, examples, save_every=save_every)
    with largest_file(600_000 if save_every else 300_000), pytest.raises(DiskFullError):
        trained(job)
    assert checkpoints(tmp_path) == []
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / ".draft").exists()
    assert read_result(trained(job)) is not None


def test_a_second_process_on_the_folder_is_refused(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    job = make_job(tmp_path / "job", model, examples)
    with only_process(job.folder), pytest.raises(FolderInUseError, match="another process trains in"):
        run_train(job, Watcher())
    assert not (job.folder / "job.json").exists()  # nothing was written beside the one at work


def test_an_error_of_who_listens_ends_the_process(
    tmp_path: Path, model: str, examples: Sequence[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "TrainingProcess", TrainingHaltedAtStepTen)

    class ListenerError(Exception):
        pass

    class Refusing(Watcher):
        def on_metrics(self, points: Sequence[MetricPoint]) -> None:
            raise ListenerError

    job = make_job(tmp_path / "job", model, examples, **ROUNDS)
    with pytest.raises(ListenerError):
        run_train(job, Refusing())
    with only_process(job.folder):  # the lock is free
        assert read_result(job.folder) is None


def test_nothing_that_fits_is_an_error_with_the_reasons(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    same = [replace(one, rejected=one.chosen) for one in examples[:2]]
    empty = [replace(one, chosen=" ") for one in examples[2:4]]
    long = [replace(one, chosen="far " * 200) for one in examples[4:6]]
    with pytest.raises(NothingToTrainError, match=r"none of 2 .*1 × chosen and rejected are the same"):
        trained(make_job(tmp_path, model, same))
    with pytest.raises(NothingToTrainError, match=r"none of 2 .*2 × the chosen response is empty"):
        trained(make_job(tmp_path, model, empty))
    with pytest.raises(NothingToTrainError, match=r"none of 2 .*over 120"):
        trained(make_job(tmp_path, model, long))
    with pytest.raises(NothingToTrainError, match="none of 0 examples can be trained on: there are none"):
        trained(make_job(tmp_path, model, []))


@pytest.mark.parametrize("method", ["dpo", "ipo", "ld_align", "spin"])
def test_missing_reference_log_probabilities_are_an_error(
    method: Method, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    for lacking in ({"reference_chosen_logps": None}, {"reference_rejected_logps": None}):
        rows = [replace(examples[0], **lacking), *examples[1:]]
        with pytest.raises(ValueError, match=f"{method} needs the reference's log-probabilities, 1 of 8 examples lack"):
            trained(make_job(tmp_path, model, rows, method=method))


def test_pairs_are_asked_for_before_any_step(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    rows = [*examples, replace(examples[0], rejected=None)]
    with pytest.raises(ValueError, match="orpo compares two responses, 1 of 9 examples have none"):
        trained(make_job(tmp_path, model, rows, method="orpo"))


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    for batch_size, at_once in ((4, 3), (2, 4)):
        with pytest.raises(ValueError, match=f"batch_size {batch_size} must be a multiple of .* {at_once} × 1 devices"):
            trained(make_job(tmp_path, model, examples, batch_size=batch_size, examples_per_device=at_once))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_qlora_without_a_gpu_is_an_error(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    lora = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules=(), is_quantized=True)
    with pytest.raises(ModelLoadError, match=r"4-bit weights need .* a GPU it can use; none is here"):
        trained(make_job(tmp_path, model, examples, lora=lora))


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path, examples: Sequence[Example]) -> None:
    with pytest.raises(ModelLoadError, match="no tokenizer"):
        trained(make_job(tmp_path, str(tmp_path / "nowhere"), examples))


def test_every_error_survives_the_way_between_processes() -> None:
    import pickle

    for error in (
        TrainingDivergedError(3, "a loss of nan"),
        DiskFullError("folder", 7),
        FolderInUseError("folder"),
        NothingToTrainError("none"),
        DeviceMemoryError("no memory"),
        TrainingFailedError("folder", "reason"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.slow
def test_a_failure_of_what_accelerate_launches_is_told_as_what_it_is(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    config = tmp_path / "accelerate.yaml"
    config.write_text(ALONE)
    job = make_job(tmp_path / "job", model, examples, learning_rate=1e30)
    with pytest.raises(TrainingDivergedError, match="expected a finite loss"):
        run_train(replace(job, accelerate_config=str(config)), Watcher())
