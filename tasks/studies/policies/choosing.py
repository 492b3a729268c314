"""Which pairs the arms of a study with trained policies get, and what such a study needs. Knows no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from db import runs
from models.head import MIN_LABELS, Head
from models.head.fitting import fit_head
from models.head.propagation import one_thread
from models.selection import StrategyRule, load_strategies
from models.studies.annotators import Annotator
from models.studies.asking import asked_pairs, pair_count
from models.studies.pool import Floats, Pool, Rows
from tasks.alignment.choices import chosen_base
from tasks.config.alignment import AlignConfig, DataConfig
from tasks.config.studies import Labels, StudyConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.named_models import check_model
from tasks.settings import Settings
from tasks.studies.policies.trials import Workbench
from tasks.studies.study import StudyAtWork

RANDOM = "random"


def arms_of(config: StudyConfig) -> tuple[str, ...]:
    """The strategies that are compared, `random` last."""
    return (*(name for name in config.strategies if name != RANDOM), RANDOM)


def with_papers_arms(
    config: StudyConfig, strategies: tuple[str, ...], *, labels: tuple[Labels, ...] | None = None
) -> StudyConfig:
    """The configuration with the arms of the paper, and these labels, where it does not name others."""
    fields = StudyConfig.model_fields
    changes: dict[str, object] = {}
    if config.strategies == fields["strategies"].default:
        changes["strategies"] = strategies
    if labels is not None and config.labels == fields["labels"].default:
        changes["labels"] = labels
    return config.model_copy(update=changes)


def rules_by_arm(config: StudyConfig) -> dict[str, StrategyRule]:
    """Each arm's strategy.

    Raises:
        ValueError: If one is unknown, or is not what it should be.
    """
    return dict(load_strategies(arms_of(config), map(Path, config.strategy_files)))


def strategy_pairs(bench: Workbench, rule: StrategyRule, annotator: Annotator, *, seed: int, count: int) -> Rows:
    """The first `count` pairs (count, 2) that a strategy has labelled under a seed.

    Raises:
        ValueError: If the training prompts hold fewer.
    """
    pool = bench.candidates.pool
    with one_thread():
        return asked_pairs(
            pool,
            bench.parts.training,
            rule,
            lambda pairs: annotator.answer(pairs, seed),
            lambda pairs, answers: _head(pool, pairs, answers),
            seed=seed,
            count=count,
        )


def checked(
    config: StudyConfig, settings: Settings, *, needs_labels: bool = False, most_labels: int = 1
) -> StudyConfig:
    """The configuration with its curation run and its model by lasting names, if such a study can be made of it.

    Raises:
        LookupError: If there is no such run, or no such policy.
        NoModelError: If no model is chosen.
        ModelLoadError: If a folder holds no model.
        ValueError: If a strategy is unknown, or the run's prompts have nothing that these labels need.
        NothingToDoError: If the held-out prompts have no pair to measure on.
    """
    rules_by_arm(config)
    with open_database(settings) as sessions:
        with sessions() as session:
            run_id = runs.find_run(session, config.data.run)
            aligned = AlignConfig(data=DataConfig(run=str(run_id)), model=config.model)
            model = chosen_base(session, aligned)
        check_model(sessions, model.name, settings)
        data = config.data.model_copy(update={"run": str(run_id)})
        settled = config.model_copy(update={"data": data, "model": model})
        bench = Workbench(StudyAtWork(sessions, 0, settled, settings))
        candidates = bench.candidates
        if not candidates.prompt_ids:
            raise NothingToDoError(f"run {run_id} has no prompt with two different responses; curate more candidates")
        if needs_labels and candidates.pool.labelled is None:
            raise ValueError(f"no pair of run {run_id} is labelled; label some: antipode label, or import labels")
        for name in config.labels:
            require_labels(bench, bench.annotator(name), most_labels)
        if not len(bench.measured_pairs.rows):
            raise NothingToDoError("no held-out prompt has a pair whose better response is known; label more pairs")
    return settled


def require_labels(bench: Workbench, annotator: Annotator, count: int) -> None:
    """Refuse more labels than the training prompts hold.

    Raises:
        ValueError: It says how many they hold.
    """
    held = pair_count(bench.candidates.pool, bench.parts.training, lambda rows: annotator.answer(rows, 0))
    if held < count:
        raise ValueError(
            f"the {len(bench.parts.training)} training prompts hold {held} pairs that {annotator.name} labels, "
            f"{count} are asked for; lower the largest budget, or lower data.held_out_share"
        )


def _head(pool: Pool, pairs: Rows, answers: Floats) -> Head | None:
    """What the labels so far say, for a strategy that learns from them; None below 25."""
    is_decided = answers != 0.5
    if is_decided.sum() < MIN_LABELS:
        return None
    first, second = pairs[is_decided].T
    return fit_head(pool.embeddings[first] - pool.embeddings[second], np.asarray(answers[is_decided]))
