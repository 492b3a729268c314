"""Whether a run's labels and scores carry a study of strategies: if not, one line says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from db import runs
from models.selection import load_strategies
from models.studies.asking import pair_count
from models.studies.head_trials import label_grid
from models.studies.pool import Floats, Pool, Rows, Split, owners
from tasks.config.studies import Labels, StudyConfig
from tasks.database import open_database
from tasks.settings import Settings
from tasks.studies.head_learner import annotator_of, arms_of, parts_of
from tasks.studies.pools import StudyPool, read_pool

MIN_PROMPTS = 40  # with a label, or two different scores: with fewer, what is held out tells nothing


def checked_pool(config: StudyConfig, settings: Settings) -> tuple[StudyConfig, StudyPool]:
    """The configuration with the run's id in the place of its name, and the run's candidates.

    Raises:
        ValueError: If a strategy is unknown, or the run has too few candidates.
        LookupError: If there is no such run or annotator, or the run has embedded nothing.
        BrokenShardError: If a vector is missing or damaged.
    """
    load_strategies(arms_of(config), map(Path, config.strategy_files))
    with open_database(settings) as sessions:
        with sessions() as session:
            run_id = runs.find_run(session, config.data.run)
        found = read_pool(sessions, run_id, settings, annotators=config.data.annotators)
    return config.model_copy(update={"data": config.data.model_copy(update={"run": str(run_id)})}), found


def with_counts(config: StudyConfig, found: StudyPool) -> StudyConfig:
    """The configuration with the numbers of labels that curves are measured at.

    Raises:
        ValueError: If the run has no labels of this kind, too few of them, or fewer than the largest budget.
    """
    most = most_labels(config, found)
    largest = max((*config.budgets, *config.label_counts))
    if largest > most:
        raise ValueError(
            f"run {config.data.run}: its training prompts hold {most:,} labels to choose "
            f"among, {largest:,} are asked for; --budgets up to {most}, or a smaller --data.held_out_share"
        )
    if config.label_counts:
        counts = tuple(sorted(set(config.label_counts) | set(config.budgets)))
    else:
        counts = label_grid(config.budgets, most)
    return config.model_copy(update={"label_counts": counts})


def most_labels(config: StudyConfig, found: StudyPool) -> int:
    """How many labels the training prompts hold, of the kind that has fewest.

    Raises:
        ValueError: If the run has no labels of a kind, or too few of them.
    """
    for labels in config.labels:
        require_labels(config, found, labels)
    parts = parts_of(found.pool, config)
    return min(labels_at_most(found.pool, parts, config, labels) for labels in config.labels)


def require_labels(config: StudyConfig, found: StudyPool, labels: Labels) -> None:
    """Refuse labels that the run does not have, or has of too few prompts.

    Raises:
        ValueError: In one line that says what to do.
    """
    run = f"run {config.data.run}"
    count = labelled_prompts(found, labels)
    if not count and labels == "stored":
        raise ValueError(
            f"{run}: none of its pairs has a label that prefers a side; label some of {MIN_PROMPTS} prompts or more "
            f"(antipode label, antipode web, antipode import-labels){_or_scores(found)}"
        )
    if not count:
        raise ValueError(
            f"{run}: nothing says how good its responses are (no scores that differ, not the demo world); study the "
            "labels in the database (--labels stored), or import scores"
        )
    if count < MIN_PROMPTS:
        what = "a label that prefers a side" if labels == "stored" else "two different scores"
        raise ValueError(
            f"{run}: {count} of its prompts have {what}, a study needs {MIN_PROMPTS} or more to hold some out; "
            f"{'label more' if labels == 'stored' else 'import more scores'}"
        )


def labelled_prompts(found: StudyPool, labels: Labels) -> int:
    """How many prompts have a decided label, or, for the truth, two responses of which one is better."""
    pool = found.pool
    if labels == "stored":
        if pool.labelled is None:
            return 0
        is_decided = pool.labelled.shares != 0.5
        return len(np.unique(owners(pool, pool.labelled.rows[is_decided, 0])))
    if pool.utilities is None:
        return 0
    return sum(_differ(pool.utilities[rows]) for rows in pool.rows_of(np.arange(len(pool.offsets) - 1)))


def labels_at_most(pool: Pool, parts: Split, config: StudyConfig, labels: Labels) -> int:
    """How many labels the training prompts hold."""
    annotator = annotator_of(pool, labels, config.agreement)

    def answered(rows: Rows) -> Floats:
        return annotator.answer(rows, config.seed)

    return pair_count(pool, parts.training, answered)


def _differ(utilities: Floats) -> bool:
    known = utilities[~np.isnan(utilities)]
    return len(known) > 1 and bool(known.min() < known.max())


def _or_scores(found: StudyPool) -> str:
    return "" if found.truth is None else ", or study its scores: --labels truth,noisy"
