"""The training steps: a policy is trained once per start model, data and settings, and is a row from its start."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import policies
from db.engine import Session
from db.runs import get_run
from db.samples import Sample
from models.alignment.errors import FolderInUseError
from models.alignment.job import TrainingJob
from models.alignment.records import (
    METHODS_WITH_REFERENCE,
    Example,
    Method,
    MetricPoint,
    PolicyIdentity,
    ResponseLogps,
    TrainingResult,
    TrainingSettings,
    UnfitExample,
)
from models.alignment.training import train
from models.exchange import PreferenceRow
from models.files import inside
from models.fingerprint import model_fingerprint
from models.records import Prompt, content_key
from tasks.alignment.data import AlignmentAtWork, alignment_at_work
from tasks.alignment.reference import response_logps
from tasks.alignment.samples import reference_samples
from tasks.alignment.training_settings import reference_dtype, training_settings
from tasks.config.alignment import METHOD_DEFAULTS, AlignConfig, OptimizeConfig
from tasks.devices import device, keep_device
from tasks.named_models import NamedModel
from tasks.progress import say, step_progress
from tasks.run_kinds import ALIGNMENT, load_alignment
from tasks.runs import code_version

SFT_ROUND = 0
FOLDER_DIGITS = 16
WAIT_S = 2.0
LIBRARIES = ("torch", "transformers", "accelerate", "peft")

Trained = tuple[TrainingResult, tuple[UnfitExample, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """One training. The start model is the reference too; `kl_samples` are its samples."""

    method: Method
    round: int
    start: NamedModel
    settings: TrainingSettings
    optimize: OptimizeConfig
    train: Sequence[Example]
    held_out: Sequence[Example]
    kl_samples: Sequence[Sample] = ()


@task(name="fine-tune", task_run_name="fine-tune for run {run_id}", cache_policy=NO_CACHE)
def fine_tune(run_id: int) -> int | None:
    """Fine-tune the model on the golden or chosen responses; return the policy's id, None if that is not wanted."""
    with alignment_at_work(run_id, load_alignment) as run:
        config = run.config
        if not config.sft.epochs:
            return None
        optimize = config.optimize.model_copy(update={"epochs": config.sft.epochs})
        settings = training_settings(config, optimize, "sft", beta=0.0, learning_rate=config.sft.learning_rate)
        parts = run.data.parts
        plan = Plan(
            method="sft",
            round=SFT_ROUND,
            start=run.base,
            settings=settings,
            optimize=optimize,
            train=_golden(parts.train),
            held_out=_golden(parts.held_out),
        )
        return train_one(run, lambda: plan)


@task(name="train", task_run_name="train for run {run_id}", cache_policy=NO_CACHE)
def train_policy(run_id: int, start_id: int | None) -> int:
    """Train the policy on the preferences, from the fine-tuned model or the one named; return its id."""
    with alignment_at_work(run_id, ALIGNMENT.load_config) as run:
        return train_one(run, lambda: _plan_on_preferences(run, run.model(start_id)))


def _plan_on_preferences(run: AlignmentAtWork[AlignConfig], start: NamedModel) -> Plan:
    method, optimize = run.config.train.method, run.config.train
    beta, learning_rate = METHOD_DEFAULTS[method]
    settings = training_settings(
        run.config,
        optimize,
        method,
        beta=optimize.beta or beta,
        learning_rate=optimize.learning_rate or learning_rate,
    )
    parts = run.data.preferences
    assert parts is not None  # a run of this kind has them
    return Plan(
        method=method,
        round=1,
        start=start,
        settings=settings,
        optimize=optimize,
        train=[Example(row.prompt, row.chosen, row.rejected) for row in parts.train],
        held_out=[Example(row.prompt, row.chosen, row.rejected) for row in parts.held_out],
        kl_samples=reference_samples(run, start),
    )


def train_one(run: AlignmentAtWork[Any], make_plan: Callable[[], Plan]) -> int:
    """Train a policy, or find it trained; return its id. Metrics on the way are stored at once.

    `make_plan` may sample from the start model: that and the reference's log-probabilities share a process.

    Raises:
        NothingToTrainError: If no example fits.
        TrainingDivergedError: If a loss or gradient was not finite.
        DiskFullError: If there is no room; checkpoints stay, and the same command goes on from them.
    """
    sessions, settings = run.sessions, run.settings
    with keep_device():
        plan = make_plan()
        with sessions.begin() as session:
            policy = _open_policy(session, run.run_id, plan)
        if (
            policy.status == policies.TRAINED
            and policy.folder
            and inside(settings.artifact_root, policy.folder).is_dir()
        ):
            return policy.id
        job = _job(run, policy.key, plan)

    def store(points: Sequence[MetricPoint]) -> None:
        with sessions.begin() as session:
            policies.add_metrics(session, policy.id, points)

    try:
        with step_progress(f"train {plan.method}", f"steps, policy {policy.id}") as on_step:
            result, unfit = _train_when_free(
                lambda: train(
                    job,
                    log_path=settings.artifact_root / "logs" / "train.log",
                    on_metrics=store,
                    on_step=on_step,
                    timeout_s=plan.optimize.timeout_s,
                )
            )
    except (Exception, KeyboardInterrupt) as error:
        with sessions.begin() as session:
            reason = "stopped" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
            policies.fail_policy(session, policy.id, reason)
        raise
    _say_left_out(unfit, len(plan.train) + len(plan.held_out))
    folder = job.folder / "model"
    with sessions.begin() as session:
        policies.finish_policy(
            session,
            policy.id,
            folder=str(folder.relative_to(settings.artifact_root)),
            fingerprint=model_fingerprint(str(folder), None),
            seconds=result.seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            metrics=result.metrics | {"response_tokens": result.response_tokens, "left_out": len(unfit)},
        )
    return policy.id


def _train_when_free(attempt: Callable[[], Trained]) -> Trained:
    """Train; if another run trains this very policy now, wait for its result."""
    has_said = False
    while True:
        try:
            with device():
                return attempt()
        except FolderInUseError:
            if not has_said:
                say("another process trains this very policy; waiting for it")
            has_said = True
            time.sleep(WAIT_S)


def _open_policy(session: Session, run_id: int, plan: Plan) -> policies.PolicyRecord:
    run = get_run(session, run_id)
    settings = asdict(plan.settings)
    data_hash = content_key(
        [[example.prompt.key, example.chosen, example.rejected, example.weight] for example in plan.train],
    )
    return policies.open_policy(
        session,
        key=PolicyIdentity(plan.start.fingerprint, data_hash, settings).key,
        name=run.name if plan.round else f"{run.name}, fine-tuned",
        method=plan.method,
        round=plan.round,
        run_id=run_id,
        start_model=plan.start.name,
        start_fingerprint=plan.start.fingerprint,
        parent_id=plan.start.policy_id,
        snapshot_id=run.config["data"]["snapshot"],
        data_hash=data_hash,
        settings=settings,
        code_version=code_version(),
        library_versions={name: _version(name) for name in LIBRARIES},
    )


def _job(run: AlignmentAtWork[Any], key: str, plan: Plan) -> TrainingJob:
    """The trainer's input. The reference's log-probabilities are computed before and come with the examples.

    The held-out examples have them whatever the method is, so that margins can be compared (REAL eq. 10).
    """
    train = plan.train if plan.method in METHODS_WITH_REFERENCE else ()
    kl_examples = [Example(kl_sample.prompt, kl_sample.text) for kl_sample in plan.kl_samples if kl_sample.is_complete]
    measured = plan.held_out if plan.round != SFT_ROUND else ()
    logps = response_logps(
        run,
        plan.start,
        dict.fromkeys(
            (example.prompt, text)
            for example in (*train, *measured, *kl_examples)
            for text in (example.chosen, example.rejected)
            if text is not None
        ),
        dtype=reference_dtype(plan.optimize),
        max_length=plan.settings.max_length,
    )
    return TrainingJob(
        folder=run.settings.artifact_root / "policies" / key[:FOLDER_DIGITS],
        model=plan.start.location,
        revision=plan.start.revision,
        settings=plan.settings,
        train=tuple(_with_reference(example, logps) for example in plan.train),
        held_out=tuple(_with_reference(example, logps) for example in plan.held_out),
        kl_examples=tuple(
            _with_reference(kl_example, logps)
            for kl_example in kl_examples
            if (kl_example.prompt, kl_example.chosen) in logps
        ),
        accelerate_config=plan.optimize.accelerate_config,
    )


def _with_reference(example: Example, logps: Mapping[tuple[Prompt, str], ResponseLogps]) -> Example:
    chosen = logps.get((example.prompt, example.chosen))
    rejected = None if example.rejected is None else logps.get((example.prompt, example.rejected))
    return replace(
        example,
        reference_chosen_logps=None if chosen is None else chosen.logps,
        reference_rejected_logps=None if rejected is None else rejected.logps,
    )


def _golden(rows: Sequence[PreferenceRow] | Sequence[Sample]) -> list[Example]:
    """The different responses to fine-tune on."""
    texts = ((row.prompt, row.chosen if isinstance(row, PreferenceRow) else row.text) for row in rows)
    return [Example(prompt, text) for prompt, text in dict.fromkeys(texts)]


def _say_left_out(unfit: Sequence[UnfitExample], total: int) -> None:
    """Say how many examples were left out and why; reasons that differ only in their numbers count together."""
    alike: dict[str, list[str]] = {}
    for example in unfit:
        alike.setdefault(re.sub(r"\d+", "", example.reason), []).append(example.reason)
    for reasons in alike.values():
        say(f"{len(reasons):,} of {total:,} examples are left out, like this one: {reasons[0]}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
