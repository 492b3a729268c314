"""The training steps: a policy is trained once per start model, data and settings, and is a row from its start."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import policies
from db.engine import Session
from db.runs import get_run
from models.alignment.errors import FolderInUseError
from models.alignment.job import TrainingJob, useless_checkpoints
from models.alignment.launching import command_of_other_hosts
from models.alignment.records import (
    METHODS_WITH_REFERENCE,
    Example,
    MetricPoint,
    ResponseLogps,
    ScoreRequest,
    TrainingResult,
    UnfitExample,
)
from models.alignment.training import train
from models.errors import is_interrupt
from models.fingerprint import model_fingerprint
from models.number_format import torch_device
from tasks.alignment.data import AlignmentAtWork, alignment_at_work
from tasks.alignment.plans import SFT_ROUND, Plan, fine_tuning_plan, preference_plan
from tasks.alignment.reference import response_logps
from tasks.alignment.samples import own_samples, sample_request
from tasks.alignment.tracking import tracking_of
from tasks.alignment.training_settings import reference_dtype
from tasks.database import in_turn, patiently
from tasks.devices import device, keep_device
from tasks.errors import WeightsMissingError
from tasks.named_models import NamedModel
from tasks.progress import say, step_progress
from tasks.run_kinds import ALIGNMENT, load_alignment
from tasks.runs import code_version
from tasks.settings import Settings
from tasks.storage import brought_folder, objects_of, share_folder

FOLDER_DIGITS = 16
WAIT_S = 2.0
LIBRARIES = ("torch", "transformers", "accelerate", "peft")

Logps = Mapping[ScoreRequest, ResponseLogps]
Trained = tuple[TrainingResult, tuple[UnfitExample, ...]]


@task(name="fine-tune", task_run_name="fine-tune for run {run_id}", cache_policy=NO_CACHE)
def fine_tune(run_id: int) -> int | None:
    """Fine-tune the model on the golden or chosen responses; return the policy's id, None if that is not wanted."""
    with alignment_at_work(run_id, load_alignment) as run:
        plan = fine_tuning_plan(run.config, run.base, run.data)
        return None if plan is None else train_one(run, lambda: plan)


@task(name="train", task_run_name="train for run {run_id}", cache_policy=NO_CACHE)
def train_policy(run_id: int, start_id: int | None) -> int:
    """Train the policy on the preferences, from the fine-tuned model or the one named; return its id."""
    with alignment_at_work(run_id, ALIGNMENT.load_config) as run:

        def plan() -> Plan:
            start = run.model(start_id)
            return preference_plan(run.config, start, run.data, own_samples(run, start))

        return train_one(run, plan)


def train_one(run: AlignmentAtWork[Any], make_plan: Callable[[], Plan]) -> int:
    """Train a policy, or find it trained; return its id. Metrics on the way are stored at once.

    `make_plan` may sample from the start model: that and the reference's log-probabilities share a process.

    Raises:
        NothingToTrainError: If no example fits.
        WeightsMissingError: If it was trained, and no policy at all is on disk.
        TrainingDivergedError: If a loss or gradient was not finite.
        DiskFullError: If there is no room; checkpoints stay, and the same command goes on from them.
        StorageGoneError: If it was to be stored at the URL, whose server did not answer in time.
    """
    sessions, settings = run.sessions, run.settings
    with keep_device():
        plan = make_plan()
        with sessions.begin() as session:
            policy = _open_policy(session, run.run_id, plan)
        if _is_there(policy, settings):
            return policy.id
        if policy.status == policies.TRAINED and policy.folder:
            _check_folders(settings)
            say(f"the weights of policy {policy.id} are gone from {policy.folder}; it is trained again")
        if plan.rate_warning:
            say(plan.rate_warning)
        with _failure_told(run, policy.id):
            job = _job(run, policy.key, plan)
    name = f"policy {policy.key[:FOLDER_DIGITS]}"
    # Where hosts share the folder itself, it keeps them apart.
    turn = in_turn(sessions, name, on_wait=_say_that_it_waits) if objects_of(settings) else nullcontext()
    with turn:
        with sessions() as session:
            policy = policies.get_policy(session, policy.id)
        if not _is_there(policy, settings):  # trained by another host meanwhile
            _train_and_store(run, policy, plan, job)
    return policy.id


def _train_and_store(run: AlignmentAtWork[Any], policy: policies.PolicyRecord, plan: Plan, job: TrainingJob) -> None:
    sessions, settings = run.sessions, run.settings
    if (useless := useless_checkpoints(job)) is not None:
        say(
            f"policy {policy.id} begins anew: the checkpoints in {useless} are of a training that shared the model out "
            "otherwise, and only such a one goes on from them"
        )
    if job.accelerate_config and (command := command_of_other_hosts(job.folder, job.accelerate_config)) is not None:
        say(f"policy {policy.id} waits for the other hosts; on each, in a folder like this run's:\n{command}")
    tracking = tracking_of(run, policy, plan, job.folder)

    def store(points: Sequence[MetricPoint]) -> None:
        def add() -> None:
            with sessions.begin() as session:
                policies.add_metrics(session, policy.id, points)

        patiently(add, settings)  # else a moment without a database ends hours of training
        tracking.send(points)

    with _failure_told(run, policy.id):
        with tracking, step_progress(f"train {plan.method}", f"steps, policy {policy.id}") as on_step:
            result, unfit = _train_when_free(
                partial(
                    train,
                    job,
                    log_path=settings.artifact_root / "logs" / "train.log",
                    on_metrics=store,
                    on_step=on_step,
                    timeout_s=plan.optimize.timeout_s,
                )
            )
        folder = job.folder / "model"
        share_folder(folder, settings)
    _say_left_out(unfit, len(plan.train) + len(plan.held_out))
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


@contextmanager
def _failure_told(run: AlignmentAtWork[Any], policy_id: int) -> Iterator[None]:
    """Whatever ends the work on a policy is written to it, which else would seem to be in training for ever."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        with run.sessions.begin() as session:
            reason = "stopped" if is_interrupt(error) else str(error) or type(error).__name__
            policies.fail_policy(session, policy_id, reason)
        raise


def _is_there(policy: policies.PolicyRecord, settings: Settings) -> bool:
    if policy.status != policies.TRAINED or policy.folder is None:
        return False
    return brought_folder(policy.folder, settings).is_dir()


def _say_that_it_waits() -> None:
    say("another process trains this very policy; waiting for it")


def _check_folders(settings: Settings) -> None:
    """Refuse to train again what was trained, where all policies are gone: a folder that is not mounted comes back."""
    folder = settings.artifact_root / "policies"
    objects = objects_of(settings, "policies")
    if not any(folder.glob("*/model")) and not (objects and objects.sizes()):
        places = f"{folder.absolute()} holds none"
        if objects:
            places += f", nor does {objects.url}"
        raise WeightsMissingError(
            f"the policy was trained, and {places}; bring it back (is the disk or share mounted? is "
            "ANTIPODE_ARTIFACT_ROOT, or ANTIPODE_ARTIFACT_URL, right?); if all are lost for good, say so with a folder "
            f"that stands for them: mkdir -p {folder.absolute() / 'lost' / 'model'}"
        )


def _train_when_free(attempt: Callable[..., Trained]) -> Trained:
    """Train; if another run trains this very policy now, wait for its result.

    On a GPU a training has a process of its own, since what it leaves there would be missed by the next engine.
    """
    has_said = False
    while True:
        try:
            with device() as backends:
                return attempt(start=backends.start if torch_device() == "cpu" else backends.start_alone)
        except FolderInUseError:
            if not has_said:
                _say_that_it_waits()
            has_said = True
            time.sleep(WAIT_S)


def _open_policy(session: Session, run_id: int, plan: Plan) -> policies.PolicyRecord:
    run = get_run(session, run_id)
    identity = plan.identity
    return policies.open_policy(
        session,
        key=identity.key,
        name=run.name if plan.round else f"{run.name}, fine-tuned",
        method=plan.method,
        round=plan.round,
        run_id=run_id,
        start_model=plan.start.name,
        start_fingerprint=plan.start.fingerprint,
        parent_id=plan.start.policy_id,
        snapshot_id=run.config["data"]["snapshot"],
        data_hash=identity.data_hash,
        settings=dict(identity.settings),
        code_version=code_version(),
        library_versions={name: _version(name) for name in LIBRARIES},
    )


def _job(run: AlignmentAtWork[Any], key: str, plan: Plan) -> TrainingJob:
    """The trainer's input. The reference's log-probabilities are computed before and come with the examples.

    The held-out examples have those of the model that the run began with, whatever method and round are, so that
    margins can be compared (REAL eq. 10).
    """
    train = plan.train if plan.method in METHODS_WITH_REFERENCE else ()
    measured = plan.held_out if plan.round != SFT_ROUND else ()
    kl_requests = [sample_request(sample) for sample in plan.kl_samples]
    is_first = plan.first.fingerprint == plan.start.fingerprint

    def logps_under(model: NamedModel, *lists: Sequence[ScoreRequest]) -> Logps:
        requests = dict.fromkeys(request for requests in lists for request in requests)
        dtype, max_length = reference_dtype(plan.optimize), plan.settings.max_length
        return response_logps(
            run, model, requests, dtype=dtype, max_length=max_length, processes=plan.optimize.processes
        )

    trained_requests, measured_requests = _requests(train), _requests(measured)
    by_first = logps_under(plan.first, measured_requests, kl_requests, trained_requests if is_first else ())
    by_start = by_first if is_first else logps_under(plan.start, trained_requests, measured_requests)
    return TrainingJob(
        folder=run.settings.artifact_root / "policies" / key[:FOLDER_DIGITS],
        model=plan.start.location,
        revision=plan.start.revision,
        settings=plan.settings,
        train=tuple(_with_reference(example, by_start) for example in plan.train),
        held_out=tuple(
            _with_reference(example, by_first, start=None if is_first else by_start) for example in plan.held_out
        ),
        kl_examples=tuple(
            Example(
                request.prompt,
                request.text,
                reference_chosen_logps=by_first[request].logps,
                is_chosen_cut=request.is_cut,
                chosen_thought=request.thought,
            )
            for request in kl_requests
            if request in by_first
        ),
        processes=plan.optimize.processes,
        parallel=plan.optimize.parallel,
        accelerate_config=plan.optimize.accelerate_config,
    )


def _requests(examples: Sequence[Example]) -> list[ScoreRequest]:
    return [request for example in examples for request in example.score_requests]


def _with_reference(example: Example, reference: Logps, *, start: Logps | None = None) -> Example:
    """The example with its sums under its reference, and under the training's start where that is another model."""

    def sums_of(logps: Logps | None) -> list[float | None]:
        scored = [None if logps is None else logps.get(request) for request in example.score_requests]
        return [None if found is None else found.logps for found in scored] + [None] * (2 - len(scored))

    (chosen, rejected), (start_chosen, start_rejected) = sums_of(reference), sums_of(start)
    return replace(
        example,
        reference_chosen_logps=chosen,
        reference_rejected_logps=rejected,
        start_chosen_logps=start_chosen,
        start_rejected_logps=start_rejected,
    )


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
