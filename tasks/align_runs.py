"""Runs that align: opened, taken up again, their start model and prompts fixed."""

from __future__ import annotations

from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import policies, runs
from db.engine import Session, Sessions
from tasks.align_config import AlignConfig, AlignmentSection, DataConfig, EvaluationConfig, GateConfig
from tasks.align_data import asked_alignment, data_parts, evaluation_prompts
from tasks.choices import chosen_base, chosen_model
from tasks.config import ModelConfig
from tasks.errors import NothingToDoError
from tasks.exchange import take_snapshot
from tasks.ld_align_config import LdAlignConfig
from tasks.number_formats import chosen_format, keep_format
from tasks.progress import say
from tasks.resources import POLICY_PREFIX
from tasks.runs import opened

Config = TypeVar("Config", bound=AlignmentSection)


@task(name="open align run", task_run_name="open align run", cache_policy=NO_CACHE)
def open_align_run(config: AlignConfig) -> int:
    """Store a run that aligns, or take up the unfinished one of the same configuration and data; return its id.

    Raises:
        NoModelError: If no model is chosen.
        NoPreferencesError: If no preference has a chosen and a rejected response.
        NothingToDoError: If there is nothing to train on, or nothing to measure on.
        LookupError: If there is no such run, snapshot or policy.
    """
    return opened(lambda sessions, version: _open(sessions, fixed(sessions, config), runs.ALIGN, version))


@task(name="open ld-align run", task_run_name="open ld-align run", cache_policy=NO_CACHE)
def open_ld_align_run(config: LdAlignConfig) -> int:
    """The same for a run in rounds."""

    def open_once(sessions: Sessions, version: str) -> int:
        asked = fixed(sessions, config, has_snapshot=config.golden == "chosen")
        return _open(sessions, asked, runs.LD_ALIGN, version)

    return opened(open_once)


@task(name="open evaluation run", task_run_name="open evaluation run", cache_policy=NO_CACHE)
def open_evaluation_run(config: EvaluationConfig) -> int:
    """Store a run that compares a policy with another model, on what the policy's own run holds out; return its id.

    Raises:
        LookupError: If there is no such policy.
        NothingToDoError: If there is no prompt to compare on, or the policy would be compared with itself.
    """

    def open_once(sessions: Sessions, version: str) -> int:
        with sessions() as session:
            policy = policies.get_policy(session, config.policy)
            own = asked_alignment(session, policy.run_id)
            against = chosen_model(session, ModelConfig(name=config.against)).name
        if against == f"{POLICY_PREFIX}{policy.id}":
            raise NothingToDoError(f"policy {policy.id} would be compared with itself; give another model: --against")
        changes = {"seed": config.seed, "evaluate": config.evaluate, "gate": GateConfig()}
        asked = own.model_copy(update={"name": f"policy {policy.id} against {against}", **changes})
        return _open(sessions, asked, runs.EVALUATE, version)

    return opened(open_once)


def fixed(sessions: Sessions, config: Config, *, has_snapshot: bool = True) -> Config:
    """The configuration with the snapshot, taken if none is named, and the model that are meant now.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
    """
    with sessions() as session:
        changes: dict[str, object] = {"model": chosen_base(session, config)}
    if has_snapshot and config.data.snapshot is None:
        taken = take_snapshot(sessions, config.data, name=config.name)
        for reason, count in taken.left_out.items():
            say(f"{count:,} of {taken.pair_count:,} pairs are no preference to train on: {reason}")
        kept = {name: getattr(config.data, name) for name in ("limit", "held_out_share")}
        changes["data"] = DataConfig(snapshot=taken.snapshot.id, **kept)
    return config.model_copy(update=changes)


def open_fixed(session: Session, config: AlignmentSection, kind: str, version: str) -> int:
    """Store the run of a configuration whose snapshot and model are fixed, or take up its unfinished one."""
    run_id = runs.find_unfinished(session, config.key)
    if run_id is not None:
        runs.set_status(session, run_id, runs.RUNNING)
        say(f"taking up run {run_id}, which did not finish")
        keep_format(session, run_id, config)
        return run_id
    trained = data_parts(session, config).train if kind == runs.LD_ALIGN else ()  # LD-Align samples for them
    compared = evaluation_prompts(session, config)
    return runs.open_run(
        session,
        kind=kind,
        name=config.name,
        config=config.model_dump(mode="json"),
        config_key=config.key,
        code_version=version,
        prompt_ids=sorted({row.prompt_id for row in trained} | {prompt.id for prompt in compared}),
        number_format=chosen_format(config),
    )


def _open(sessions: Sessions, config: AlignmentSection, kind: str, version: str) -> int:
    with sessions.begin() as session:
        return open_fixed(session, config, kind, version)
