"""A job done in this process: model loaded, examples tokenised, trained, saved. Everything heavy is imported here."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainingArguments

from models.alignment.errors import DeviceMemoryError, DiskFullError, NothingToTrainError
from models.alignment.job import (
    CHECKPOINT,
    CHECKPOINTS,
    METRICS,
    TrainingJob,
    checkpoints_folder,
    metrics_line,
    write_result,
)
from models.alignment.loading import DRAFT, load_policy, save_policy
from models.alignment.logps import prepare_sharing
from models.alignment.memory import PeakMemory
from models.alignment.records import (
    METHODS_WITH_REFERENCE,
    Method,
    MetricPoint,
    Parallel,
    StepsDone,
    TrainingResult,
    TrainingSettings,
    UnfitExample,
)
from models.alignment.tokens import tokenize_examples, tokenize_samples
from models.alignment.trainer import HeldOutCallback, PolicyTrainer, Row, RowDataset
from models.alignment.zero import check_installed, is_zero, zero_settings
from models.prompting import load_tokenizer

_TENSORBOARD = "tensorboard"
_KEPT_CHECKPOINTS = 2
_SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
_OPTIMIZERS = {"adamw": "adamw_torch_fused", "rmsprop": "rmsprop"}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# torch.save and safetensors tell the system's reason in words, or only that a stream broke while it was written.
_NO_ROOM_WORDS = (
    "No space left",
    "File too large",
    "quota exceeded",
    "write failed",
    "iostream error",
    "unexpected pos",
)


def run_job(job: TrainingJob, folder: Path) -> None:
    """Train, from the newest whole checkpoint of its kind if there is one; the result is written last.

    Raises:
        NothingToTrainError: No example fits.
        TrainingDivergedError: A loss or gradient was not finite.
        DiskFullError: There is no room for a checkpoint or the model.
        DeviceMemoryError: The device's memory does not suffice.
        ModelLoadError: The start model does not load.
        ValueError: The settings cannot be kept, or the examples lack what the method needs.
    """
    steps = math.ceil(len(job.train) / job.settings.batch_size) * job.settings.epochs
    parallel = job.parallel if _world_size() > 1 else "ddp"
    _check_sharing(parallel)
    arguments = trainer_arguments(job.settings, folder, steps=steps, parallel=parallel)
    _check_settings(job.settings, arguments.world_size)
    with _resource_errors(folder):
        _train_and_save(job, folder, arguments, zero=zero_settings(parallel, job.settings))


def _train_and_save(
    job: TrainingJob, folder: Path, arguments: TrainingArguments, *, zero: dict[str, Any] | None
) -> None:
    settings = job.settings
    tokenizer = load_tokenizer(job.model, revision=job.revision)
    train, held_out, kl_rows, unfit = _rows(job, tokenizer)
    model = load_policy(job.model, revision=job.revision, settings=settings)
    is_main = arguments.process_index == 0
    with arguments.main_process_first(desc="find the checkpoint"):  # or the others might go on from another
        if is_main:
            _remove_incomplete(folder)
    checkpoint = next(reversed(_checkpoints(Path(arguments.output_dir))), None)
    with PeakMemory() as memory, _MetricsWriter(folder, is_main=is_main, checkpoint=checkpoint) as writer:
        callback = HeldOutCallback(settings.evaluate_every, writer.write_step)
        trainer = PolicyTrainer(
            settings=settings,
            held_out=held_out,
            kl_rows=kl_rows,
            pad_token_id=tokenizer.pad_token_id or 0,
            shares_prompt=prepare_sharing(model),
            on_points=writer.write_points,
            zero=zero,
            model=model,
            args=arguments,
            train_dataset=RowDataset(train),
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)  # a line of the log for every step
        callback.trainer = trainer
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds, peak_bytes = trainer.seconds(), memory.peak_bytes
    save_policy(trainer, tokenizer, job, folder)
    if is_main:
        result = TrainingResult(
            model_folder=str(folder / "model"),
            steps=trainer.state.global_step,
            seconds=seconds,
            peak_memory_bytes=peak_bytes,
            response_tokens=trainer.response_tokens,
            metrics=writer.last_held_out,
        )
        write_result(folder, result, tuple(unfit))
        for path in folder.glob(f"{CHECKPOINTS}*"):
            shutil.rmtree(path, ignore_errors=True)


def _rows(job: TrainingJob, tokenizer: Any) -> tuple[list[Row], list[Row], list[Row], list[UnfitExample]]:
    """What is trained on, measured on, and sampled by the reference; unfit positions count over the first two."""
    limit, method = job.settings.max_length, job.settings.method
    # SFT reads the chosen response alone; what is held out is measured as pairs all the same.
    train = [replace(example, rejected=None) for example in job.train] if method == "sft" else list(job.train)
    fitting, unfit = tokenize_examples(tokenizer, train, max_length=limit)
    if not fitting:
        common = Counter(example.reason for example in unfit).most_common(3)
        reasons = "; ".join(f"{count} × {reason}" for reason, count in common)
        raise NothingToTrainError(f"none of {len(train)} examples can be trained on: {reasons or 'there are none'}")
    rows = [Row(train[at], tokens) for at, tokens in fitting.items()]
    _check_rows(method, rows)
    measured, unfit_held_out = tokenize_examples(tokenizer, list(job.held_out), max_length=limit)
    unfit += [UnfitExample(example.position + len(train), example.reason) for example in unfit_held_out]
    held_out = _pairs_if_any([Row(job.held_out[at], tokens) for at, tokens in measured.items()])
    requests = [request._replace(is_sample=True) for one in job.kl_examples for request in one.score_requests]
    sampled = tokenize_samples(tokenizer, requests, max_length=limit)
    return rows, held_out, [Row(job.kl_examples[at], tokens) for at, tokens in sampled.items()], unfit


def _check_rows(method: Method, rows: list[Row]) -> None:
    without_rejected = sum(row.example.rejected is None for row in rows)
    if method != "sft" and without_rejected:
        raise ValueError(
            f"{method} compares two responses, {without_rejected} of {len(rows)} examples have none that is rejected"
        )
    examples = [row.example for row in rows]
    missing = sum(None in (example.reference_chosen_logps, example.reference_rejected_logps) for example in examples)
    if method in METHODS_WITH_REFERENCE and missing:
        raise ValueError(
            f"{method} needs the reference's log-probabilities, {missing} of {len(rows)} examples lack them; "
            "compute them first"
        )


def _pairs_if_any(rows: list[Row]) -> list[Row]:
    """Only the pairs, if there are any: a forward pass takes rows of one kind."""
    pairs = [row for row in rows if row.tokens.rejected_ids is not None]
    return pairs or rows


def trainer_arguments(
    settings: TrainingSettings, folder: Path, *, steps: float, parallel: Parallel = "ddp"
) -> TrainingArguments:
    """The settings as transformers takes them; `steps` in all, `folder` where checkpoints go if there are any.

    With `fsdp` each process holds its share of every layer (FSDP2), and gathers a layer while it computes. Of DeepSpeed
    the trainer knows by itself: told of it here, transformers would shard a model while it is read.
    """
    arguments = TrainingArguments(
        output_dir=str(checkpoints_folder(folder, parallel, _world_size())),
        per_device_train_batch_size=settings.examples_per_device,
        gradient_accumulation_steps=max(1, settings.batch_size // (settings.examples_per_device * _world_size())),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_SCHEDULERS[settings.schedule],
        # The first step of a warm-up is at rate 0: a training of so few steps would lose too much of itself.
        warmup_steps=settings.warmup_share if settings.warmup_share * steps >= 1 else 0,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim=_OPTIMIZERS[settings.optimizer],
        bf16=settings.dtype == "bfloat16" and not is_zero(parallel),  # DeepSpeed has an autocast of its own
        gradient_checkpointing=settings.gradient_checkpointing,
        save_strategy="steps" if settings.save_every else "no",
        save_steps=settings.save_every or 1,
        save_total_limit=_KEPT_CHECKPOINTS,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        seed=settings.seed % 2**32,
        use_cpu=not torch.cuda.is_available(),
        fsdp=parallel == "fsdp",
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # Of several GPUs without a launcher transformers would make an nn.DataParallel, which cannot split our batches.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _check_settings(settings: TrainingSettings, world_size: int) -> None:
    """Refuse settings that cannot be kept.

    Raises:
        ValueError: The batch does not divide into the devices' passes, or the GPU has no bfloat16.
    """
    examples_per_pass = settings.examples_per_device * world_size
    if settings.batch_size % examples_per_pass:
        raise ValueError(
            f"batch_size {settings.batch_size} must be a multiple of examples_per_device "
            f"{settings.examples_per_device} × {world_size} devices; change one of them"
        )
    if settings.dtype == "bfloat16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise ValueError("this GPU has no bfloat16; set dtype float32")


def _check_sharing(parallel: Parallel) -> None:
    """Refuse a way of sharing that is not there, or that a file of `accelerate config` brings.

    Raises:
        ValueError: DeepSpeed is not installed, or the file is of a kind whose number formats round log-probabilities.
    """
    check_installed(parallel)
    for variable, kind in (("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DEEPSPEED")):
        if os.environ.get(variable, "").lower() == "true":
            raise ValueError(
                f"accelerate_config is of the kind {kind}, which would round log-probabilities; give it "
                "distributed_type MULTI_GPU, and say how the model is shared out by parallel: fsdp, zero2 or zero3"
            )


def _checkpoints(folder: Path) -> list[Path]:
    folders = [path for path in folder.glob(f"{CHECKPOINT}*") if path.name.removeprefix(CHECKPOINT).isdecimal()]
    return sorted(folders, key=lambda path: int(path.name.removeprefix(CHECKPOINT)))


def _remove_incomplete(folder: Path) -> None:
    """Remove a model and checkpoints that were cut off: a checkpoint's state is written last."""
    shutil.rmtree(folder / DRAFT, ignore_errors=True)
    for path in (path for one in folder.glob(f"{CHECKPOINTS}*") for path in _checkpoints(one)):
        try:
            json.loads((path / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _resource_errors(folder: Path) -> Iterator[None]:
    """Turn what libraries raise for want of room or memory into errors that say what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"the device's memory does not suffice: {str(error).splitlines()[0]}; lower examples_per_device or "
            "max_length, or set gradient_checkpointing or lora.rank"
        ) from error
    except Exception as error:
        has_no_room = getattr(error, "errno", None) in _NO_ROOM or any(word in str(error) for word in _NO_ROOM_WORDS)
        if not has_no_room:
            raise
        _remove_incomplete(folder)
        raise DiskFullError(str(folder), shutil.disk_usage(folder).free) from error


class _MetricsWriter:
    """Writes what is measured to the metrics' file and to TensorBoard; only the main process writes."""

    def __init__(self, folder: Path, *, is_main: bool, checkpoint: Path | None) -> None:
        self._folder = folder
        self._is_main = is_main
        self._step = 0 if checkpoint is None else int(checkpoint.name.removeprefix(CHECKPOINT))
        self.last_held_out: dict[str, float] = {}

    def __enter__(self) -> _MetricsWriter:
        if self._is_main:
            from torch.utils.tensorboard import SummaryWriter

            path = self._folder / METRICS
            path.touch()
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)  # a line that was cut off would spoil the next
            self._file = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(self._folder / _TENSORBOARD), purge_step=self._step)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_main:
            self._file.close()
            self._board.close()

    def write_points(self, points: Sequence[MetricPoint]) -> None:
        """Write points; those that are not finite are left out of the file, which is JSON."""
        self.last_held_out |= {point.name: point.value for point in points if point.split == "held_out"}
        for point in points if self._is_main else ():
            self._board.add_scalar(f"{point.split}/{point.name}", point.value, point.step)
            if math.isfinite(point.value):
                self._file.write(metrics_line(point))
        if self._is_main:
            self._file.flush()

    def write_step(self, done: int, total: int) -> None:
        """Write how many steps are done."""
        if self._is_main:
            self._file.write(metrics_line(StepsDone(done, total)))
            self._file.flush()
