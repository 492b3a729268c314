"""The training steps: a policy is trained once per start model, data and settings, and is a row from its start."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import policies
from db.engine import Session, Sessions
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
from models.fingerprint import model_fingerprint
from models.records import Prompt, content_key
from tasks.align_config import METHOD_DEFAULTS, AlignConfig, AlignmentSection, OptimizeConfig
from tasks.align_data import data_parts, load_alignment, preference_parts
from tasks.database import open_database
from tasks.devices import device
from tasks.policy_samples import reference_samples
from tasks.progress import say, step_progress
from tasks.reference import response_logps
from tasks.resources import POLICY_PREFIX, ResolvedModel, resolve_model
from tasks.runs import code_version
from tasks.settings import Settings

SFT_ROUND = 0
FOLDER_DIGITS = 16
WAIT_S = 2.0
LIBRARIES = ("torch", "transformers", "accelerate", "peft")


Trained = tuple[TrainingResult, tuple[UnfitExample, ...]]


@dataclass(frozen=True, slots=True)
class StartModel:
    """The model a training starts from, which is also its reference. `policy_id` is None for one not trained here."""

    name: str
    resolved: ResolvedModel
    policy_id: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """One training: what, from where, on what. `kl_samples` are the start model's own responses."""

    method: Method
    round: int
    start: StartModel
    settings: TrainingSettings
    optimize: OptimizeConfig
    train: Sequence[Example]
    held_out: Sequence[Example]
    kl_samples: Sequence[Sample] = ()


@task(name="fine-tune", task_run_name="fine-tune for run {run_id}", cache_policy=NO_CACHE)
def fine_tune(run_id: int) -> int | None:
    """Fine-tune the model on the golden or chosen responses; return the policy's id, None if that is not wanted."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_alignment(session, run_id)
            if not config.sft.epochs:
                return None
            parts = data_parts(session, config)
        optimize = optimize_config(config).model_copy(update={"epochs": config.sft.epochs})
        plan = Plan(
            method="sft",
            round=SFT_ROUND,
            start=start_model(config, None, settings),
            settings=training_settings(config, optimize, "sft", beta=0.0, learning_rate=config.sft.learning_rate),
            optimize=optimize,
            train=_golden(parts.train),
            held_out=_golden(parts.held_out),
        )
        return train_one(sessions, run_id, plan, settings)


@task(name="train", task_run_name="train for run {run_id}", cache_policy=NO_CACHE)
def train_policy(run_id: int, start_id: int | None) -> int:
    """Train the policy on the preferences, from the fine-tuned model or the one named; return its id."""
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_alignment(session, run_id)
            assert isinstance(config, AlignConfig)
            parts = preference_parts(session, config.data)
        method, optimize = config.train.method, config.train
        beta, learning_rate = METHOD_DEFAULTS[method]
        start = start_model(config, start_id, settings)
        plan = Plan(
            method=method,
            round=1,
            start=start,
            settings=training_settings(
                config,
                optimize,
                method,
                beta=optimize.beta or beta,
                learning_rate=optimize.learning_rate or learning_rate,
            ),
            optimize=optimize,
            train=[Example(row.prompt, row.chosen, row.rejected) for row in parts.train],
            held_out=[Example(row.prompt, row.chosen, row.rejected) for row in parts.held_out],
            kl_samples=reference_samples(sessions, run_id, config, start.name, settings),
        )
        return train_one(sessions, run_id, plan, settings)


def train_one(sessions: Sessions, run_id: int, plan: Plan, settings: Settings) -> int:
    """Train a policy, or find it trained; return its id. What it measures on the way goes to the database at once.

    Raises:
        NothingToTrainError: If no example fits.
        TrainingDivergedError: If a loss or gradient was not finite.
        DiskFullError: If there is no room; checkpoints stay, and the same command goes on from them.
    """
    with sessions.begin() as session:
        policy = _open_policy(session, run_id, plan)
    if policy.status == policies.TRAINED and policy.folder and (settings.artifact_root / policy.folder).is_dir():
        return policy.id
    job = _job(sessions, policy.key, plan, settings)

    def store(points: Sequence[MetricPoint]) -> None:
        with sessions.begin() as session:
            policies.add_metrics(session, policy.id, points)

    try:
        with step_progress(f"train {plan.method}", f"steps, policy {policy.id}") as on_step:
            result, unfit = _when_free(
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
    _tell(unfit, len(plan.train) + len(plan.held_out))
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


def _when_free(attempt: Callable[[], Trained]) -> Trained:
    """Train; if another run trains this very policy now, wait for its result."""
    is_told = False
    while True:
        try:
            with device():
                return attempt()
        except FolderInUseError:
            if not is_told:
                say("another process trains this very policy; waiting for it")
            is_told = True
            time.sleep(WAIT_S)


def start_model(config: AlignmentSection, policy_id: int | None, settings: Settings) -> StartModel:
    """The policy of this id, or the configured model."""
    name = config.model.name if policy_id is None else f"{POLICY_PREFIX}{policy_id}"
    resolved = resolve_model(name, config.model, settings)
    if policy_id is None and name.startswith(POLICY_PREFIX):
        policy_id = int(name.removeprefix(POLICY_PREFIX))
    return StartModel(name, resolved, policy_id)


def optimize_config(config: AlignmentSection) -> OptimizeConfig:
    """How the run trains, whatever it trains."""
    section: OptimizeConfig = getattr(config, "train", None) or getattr(config, "rounds")  # noqa: B009
    return section


def training_settings(
    config: AlignmentSection, optimize: OptimizeConfig, method: Method, *, beta: float, learning_rate: float
) -> TrainingSettings:
    """The settings as the trainer takes them."""
    names = {
        "epochs", "batch_size", "examples_per_device", "max_length", "optimizer", "schedule", "warmup_share",
        "weight_decay", "max_grad_norm", "gradient_checkpointing", "evaluate_every", "save_every",
    }  # fmt: skip
    return TrainingSettings(
        method=method,
        beta=beta,
        reward_beta=config.evaluate.reward_beta,
        learning_rate=learning_rate,
        dtype=settled_dtype(optimize),
        lora=optimize.lora.settings(),
        seed=config.seed,
        **{name: getattr(optimize, name) for name in names},
    )


def reference_dtype(optimize: OptimizeConfig) -> str:
    """The number format of log-probabilities, the same as in training: else a policy differs from itself as reference.

    All weights are trained in float32 under autocast; those that are frozen behind adapters are in bfloat16 themselves.
    """
    if settled_dtype(optimize) == "float32":
        return "float32"
    return "bfloat16" if optimize.lora.rank else "autocast"


def settled_dtype(optimize: OptimizeConfig) -> Literal["float32", "bfloat16"]:
    """The number format of the computation, as the run's row says."""
    assert optimize.dtype != "auto"  # settled where the configuration is loaded
    return optimize.dtype


def _open_policy(session: Session, run_id: int, plan: Plan) -> policies.PolicyRecord:
    run = get_run(session, run_id)
    settings = asdict(plan.settings)
    data_hash = content_key(
        [[one.prompt.key, one.chosen, one.rejected, one.weight] for one in plan.train],
    )
    return policies.open_policy(
        session,
        key=PolicyIdentity(plan.start.resolved.fingerprint, data_hash, settings).key,
        name=run.name if plan.round else f"{run.name}, fine-tuned",
        method=plan.method,
        round=plan.round,
        run_id=run_id,
        start_model=plan.start.name,
        start_fingerprint=plan.start.resolved.fingerprint,
        parent_id=plan.start.policy_id,
        snapshot_id=run.config["data"]["snapshot"],
        data_hash=data_hash,
        settings=settings,
        code_version=code_version(),
        library_versions={name: _version(name) for name in LIBRARIES},
    )


def _job(sessions: Sessions, key: str, plan: Plan, settings: Settings) -> TrainingJob:
    """What the trainer is given. The reference's log-probabilities come with the examples: it is loaded once, before.

    The held-out examples have them whatever the method is, so that margins can be compared (REAL eq. 10).
    """
    train = plan.train if plan.method in METHODS_WITH_REFERENCE else ()
    kl_examples = [Example(one.prompt, one.text) for one in plan.kl_samples if one.is_complete]
    measured = plan.held_out if plan.round != SFT_ROUND else ()
    logps = response_logps(
        sessions,
        plan.start.resolved,
        dict.fromkeys(
            (one.prompt, text)
            for one in (*train, *measured, *kl_examples)
            for text in (one.chosen, one.rejected)
            if text is not None
        ),
        dtype=reference_dtype(plan.optimize),
        max_length=plan.settings.max_length,
        settings=settings,
    )
    return TrainingJob(
        folder=settings.artifact_root / "policies" / key[:FOLDER_DIGITS],
        model=plan.start.resolved.location,
        revision=plan.start.resolved.revision,
        settings=plan.settings,
        train=tuple(_with_reference(one, logps) for one in plan.train),
        held_out=tuple(_with_reference(one, logps) for one in plan.held_out),
        kl_examples=tuple(_with_reference(one, logps) for one in kl_examples if (one.prompt, one.chosen) in logps),
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


def _tell(unfit: Sequence[UnfitExample], total: int) -> None:
    """Say how many examples were left out and why; reasons that differ in their figures alone count together."""
    alike: dict[str, list[str]] = {}
    for one in unfit:
        alike.setdefault(re.sub(r"\d+", "", one.reason), []).append(one.reason)
    for reasons in alike.values():
        say(f"{len(reasons):,} of {total:,} examples are left out, like this one: {reasons[0]}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
