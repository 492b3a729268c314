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
from models.studies.asking import asked_pairs
from models.studies.pool import Floats, Pool, Rows
from tasks.config.studies import StudyConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.settings import Settings
from tasks.studies.policy_trials import Workbench
from tasks.studies.study import StudyAtWork

RANDOM = "random"


def arms_of(config: StudyConfig) -> tuple[str, ...]:
    """The strategies that are compared, `random` last."""
    return (*(name for name in config.strategies if name != RANDOM), RANDOM)


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


def checked(config: StudyConfig, settings: Settings, *, needs_labels: bool = False) -> StudyConfig:
    """The configuration with its curation run by its id, if such a study can be made of it.

    Raises:
        LookupError: If there is no such run.
        ValueError: If a strategy is unknown, or the run's prompts have nothing that these labels need.
        NothingToDoError: If the held-out prompts have no pair to measure on.
    """
    rules_by_arm(config)
    with open_database(settings) as sessions:
        with sessions() as session:
            run_id = runs.find_run(session, config.data.run)
        data = config.data.model_copy(update={"run": str(run_id)})
        settled = config.model_copy(update={"data": data})
        bench = Workbench(StudyAtWork(sessions, 0, settled, settings))
        candidates = bench.candidates
        if not candidates.prompt_ids:
            raise NothingToDoError(f"run {run_id} has no prompt with two different responses; curate more candidates")
        if needs_labels and candidates.pool.labelled is None:
            raise ValueError(f"no pair of run {run_id} is labelled; label some: antipode label, or import labels")
        for name in config.labels:
            bench.annotator(name)
        if not len(bench.measured_pairs.rows):
            raise NothingToDoError("no held-out prompt has a pair whose better response is known; label more pairs")
    return settled


def _head(pool: Pool, pairs: Rows, answers: Floats) -> Head | None:
    """What the labels so far say, for a strategy that learns from them; None below 25."""
    is_decided = answers != 0.5
    if is_decided.sum() < MIN_LABELS:
        return None
    first, second = pairs[is_decided].T
    return fit_head(pool.embeddings[first] - pool.embeddings[second], np.asarray(answers[is_decided]))
