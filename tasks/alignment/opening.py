"""Runs that align: opened or taken up, their start model and prompts fixed, after checks that they can begin."""

from __future__ import annotations

from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import policies, runs
from db.engine import Session, Sessions
from db.prompt_uses import add_uses
from tasks.alignment.choices import chosen_base
from tasks.alignment.data import AlignmentData, compared_prompts, read_data
from tasks.alignment.guides import possible_bases, settled_base
from tasks.alignment.lineage import lineage_of
from tasks.config.alignment import AlignConfig, AlignmentSection, DataConfig, GateConfig
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import EvaluationConfig
from tasks.config.exchange import PreferencesConfig
from tasks.config.rounds import GuideConfig, LdAlignConfig
from tasks.errors import NothingToDoError
from tasks.labels.arms import unequal_arms_asked_for
from tasks.labels.exchange import take_snapshot
from tasks.named_models import chosen_model, policy_id_of, policy_name
from tasks.progress import say
from tasks.run_kinds import ALIGNMENT, ALIGNMENT_IN_ROUNDS, COMPARISON, RunKind, kind_of_alignment
from tasks.runs import find_or_open, opened

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
    return open_alignment(config, ALIGNMENT, asked=config)


@task(name="open ld-align run", task_run_name="open ld-align run", cache_policy=NO_CACHE)
def open_ld_align_run(config: LdAlignConfig) -> int:
    """The same for a run in rounds."""
    return open_alignment(config, ALIGNMENT_IN_ROUNDS, asked=config)


@task(name="open evaluation run", task_run_name="open evaluation run", cache_policy=NO_CACHE)
def open_evaluation_run(config: EvaluationConfig) -> int:
    """Store a run that compares a policy with another model, on what the policy's own run holds out; return its id.

    Raises:
        LookupError: If there is no such policy.
        NothingToDoError: If there is no prompt to compare on, or the policy would be compared with itself.
    """

    def open_once(sessions: Sessions) -> int:
        with sessions.begin() as session:
            policy = policies.get_policy(session, config.policy)
            made_by = kind_of_alignment(session, policy.run_id).stored_config(session, policy.run_id)
            against = chosen_model(session, ModelConfig(name=config.against)).name
            if against == policy_name(policy.id):
                raise NothingToDoError(
                    f"policy {policy.id} would be compared with itself; give another model: --against"
                )
            changes = {"seed": config.seed, "evaluate": config.evaluate, "gate": GateConfig()}
            run_config = made_by.model_copy(update={"name": f"policy {policy.id} against {against}", **changes})

            def prompt_ids() -> list[int]:
                data = read_data(session, run_config, policy.run_id)
                lineage = lineage_of(session, [policy.id, policy_id_of(session, against)])
                compared = compared_prompts(session, run_config, data, lineage)
                if compared.is_told:
                    say(f"{policy_name(policy.id)} and {against} are compared on {compared.words}")
                return [prompt.id for prompt in compared.prompts]

            return find_or_open(
                session, COMPARISON, run_config, name=run_config.name, asked=config, prompt_ids=prompt_ids
            )

    return opened(open_once)


def fixed(sessions: Sessions, config: Config) -> Config:
    """The configuration with its snapshot (taken now if none is named) and its model by their lasting names, β settled.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
    """
    with sessions() as session:
        model = chosen_base(session, config)
        policy_id_of(session, model.name)  # hashes a folder before others wait for the turn in which the run is opened
    changes: dict[str, object] = {"model": model}
    if isinstance(config, AlignConfig):
        changes["train"] = config.train.settled()
    has_snapshot = not isinstance(config, LdAlignConfig) or config.golden == "chosen"
    if has_snapshot and config.data.snapshot is None:
        taken = take_snapshot(sessions, config.data, name=config.name)
        for reason, count in taken.left_out.items():
            say(f"{count:,} of {taken.pair_count:,} pairs are no preference to train on: {reason}")
        with sessions() as session:
            if arms := unequal_arms_asked_for(session, config.data):
                say(arms)
        others = config.data.model_dump(exclude=set(PreferencesConfig.model_fields))
        changes["data"] = DataConfig.model_validate(others | {"snapshot": taken.snapshot.id})
    return config.model_copy(update=changes)


def settled_guide(sessions: Sessions, config: LdAlignConfig) -> GuideConfig:
    """The guide with its base: that of the unfinished run which is taken up, else what can be had here and now."""
    with sessions() as session:
        for possible in possible_bases(config):
            if runs.find_unfinished(session, possible.stored_keys()) is not None:
                return possible.guide
    return settled_base(config).guide


def open_alignment(config: Config, kind: RunKind[Config], *, asked: Config | None = None) -> int:
    """What opens a run that aligns; `asked`: the configuration if somebody gave it, None where a study made it."""

    def open_once(sessions: Sessions) -> int:
        run_config = fixed(sessions, config)
        if isinstance(run_config, LdAlignConfig):
            guide = settled_guide(sessions, run_config)
            run_config = run_config.model_copy(update={"guide": guide})
        with sessions.begin() as session:
            return open_fixed(session, run_config, kind, asked=asked)

    return opened(open_once)


def open_fixed(session: Session, config: Config, kind: RunKind[Config], *, asked: Config | None) -> int:
    """Store the run of a configuration whose snapshot and model are fixed, or take up its unfinished one.

    What a new run trains on and what it holds out is stored with it. `asked`: what somebody gave, before it was fixed.
    """
    read: list[AlignmentData] = []

    def prompt_ids() -> list[int]:
        data = read_data(session, config)
        read.append(data)
        compared = compared_prompts(session, config, data, data.seen_by_run)
        if compared.left_out:  # what is not known is told with what is held out
            say(f"policies are compared on {compared.words}")
        # A run in rounds samples for what it trains on.
        trained = data.golden.train if kind is ALIGNMENT_IN_ROUNDS and data.golden else ()
        return sorted({row.prompt_id for row in trained} | {prompt.id for prompt in compared.prompts})

    run_id = find_or_open(session, kind, config, name=config.name, asked=asked, prompt_ids=prompt_ids)
    for data in read:
        train = (row.prompt_id for row in data.parts.train)
        add_uses(session, run_id, train=train, held_out={row.prompt_id for row in data.parts.held_out} | data.seen)
        if data.seen or data.lineage.unknown:
            say(f"held out: {data.held_out_words}")
    return run_id
