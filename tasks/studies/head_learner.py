"""Trials whose learner is a reward head: what they are made of, and paths of them worked on side by side."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from db.studies.trials import outcomes_of
from models.records import content_key
from models.selection import StrategyRule, load_strategies, select_several
from models.studies.annotators import Annotator, noisy, stored, truth
from models.studies.asking import LEARNS_FROM
from models.studies.head_trials import Laboratory, Point, head_path, laboratory
from models.studies.pool import Floats, Pool, Split, longer_wins, split
from models.studies.trials import FAILED, Outcome, Trial
from tasks.config.studies import Labels, StudyConfig
from tasks.errors import StudyChangedError
from tasks.studies.pools import StudyPool, read_pool
from tasks.studies.side_by_side import side_by_side
from tasks.studies.study import StudyAtWork

BASELINE = "random"
DECIMALS = 4  # of a figure of one prompt

Figures = dict[str, Any]


class LabelPath(NamedTuple):
    """One arm, labeller and seed over all numbers of labels."""

    arm: str
    annotator: Labels
    seed: int
    counts: tuple[int, ...]


class HeadPaths:
    """Carries paths out; built once a process, with everything that they share."""

    def __init__(
        self, *, pool: Pool, parts: Split, arms: tuple[str, ...], files: tuple[str, ...], agreement: float, seed: int
    ) -> None:
        """Take what is studied.

        Args:
            pool: the candidates.
            parts: who trains and who is held out.
            arms: names of strategies.
            files: where strategies of a user's own are.
            agreement: of two noisy annotators.
            seed: of the study.
        """
        self._pool, self._parts, self._agreement, self._seed = pool, parts, agreement, seed
        self._rules = load_strategies(arms, map(Path, files))
        self._annotators: dict[Labels, Annotator] = {}
        self._laboratories: dict[bool, Laboratory] = {}

    def carry_out(self, path: LabelPath) -> dict[int, tuple[Figures, float]]:
        """What came of a path: number of labels → figures, and seconds; a path that cannot be done says why."""
        rule, begun = self._rules[path.arm], time.monotonic()
        annotator = self._annotator(path.annotator)
        lab = self._laboratory(by_labels=annotator.by_labels)
        try:
            cost = self._selection_ms(rule)
            points = head_path(lab, rule, annotator, seed=path.seed, counts=path.counts)
        except ValueError as error:  # of a strategy, or of what it is asked for
            seconds = (time.monotonic() - begun) / len(path.counts)
            return {count: ({FAILED: str(error)}, seconds) for count in path.counts}
        seconds = (time.monotonic() - begun) / len(path.counts)
        return {
            count: (_figures(point, cost) | self._facts(lab), seconds)
            for count, point in zip(path.counts, points, strict=True)
        }

    def _facts(self, lab: Laboratory) -> Figures:
        """What is true of every trial of a labeller: sizes, and how often the longer response is right, by prompt."""
        pairs, prompts = lab.held_out.pairs, len(lab.held_out.groups)
        return {
            "training_prompts": len(self._parts.training),
            "held_out_pairs": len(pairs.rows),
            "held_out_alike_pairs": int(pairs.is_alike.sum()),
            "longer_wins": _as_json(longer_wins(self._pool, pairs, prompts)),
        }

    def _annotator(self, name: Labels) -> Annotator:
        if name not in self._annotators:
            self._annotators[name] = annotator_of(self._pool, name, self._agreement)
        return self._annotators[name]

    def _laboratory(self, *, by_labels: bool) -> Laboratory:
        if by_labels not in self._laboratories:
            lab = laboratory(self._pool, self._parts, by_labels=by_labels, seed=self._seed)
            self._laboratories[by_labels] = lab
        return self._laboratories[by_labels]

    def _selection_ms(self, rule: StrategyRule) -> float | None:
        """Milliseconds of selection for 1,000 prompts; None for a strategy that asks the labels so far in rounds."""
        if not LEARNS_FROM.isdisjoint(rule.asks):
            return None
        offsets, begun = self._pool.offsets, time.perf_counter()
        select_several(self._pool.embeddings, offsets, strategies=(rule,), seed=0, lengths=self._pool.lengths)
        return 1e6 * (time.perf_counter() - begun) / max(1, len(offsets) - 1)


def annotator_of(pool: Pool, name: Labels, agreement: float) -> Annotator:
    """Who labels under this name.

    Raises:
        ValueError: if the pool has nothing that it could label by.
    """
    makers = {"truth": lambda: truth(pool), "noisy": lambda: noisy(pool, agreement), "stored": lambda: stored(pool)}
    return makers[name]()


def arms_of(config: StudyConfig) -> tuple[str, ...]:
    """The strategies that are compared; `random`, which all are compared with, first."""
    return (BASELINE, *(name for name in config.strategies if name != BASELINE))


def pool_at_work(study: StudyAtWork) -> StudyPool:
    """The candidates of a study's run."""
    data = study.config.data
    return read_pool(study.sessions, int(data.run), study.settings, annotators=data.annotators)


def parts_of(pool: Pool, config: StudyConfig) -> Split:
    """Who trains and who is held out, the same in every trial."""
    return split(pool, config.data.held_out_share, seed=config.seed)


def path_trials(study: StudyAtWork) -> list[Trial]:
    """The whole design: every arm, labeller and seed at every number of labels that curves are measured at."""
    config = study.config
    return [
        Trial(arm, annotator, count, seed)
        for annotator in config.labels
        for seed in config.all_seeds
        for arm in arms_of(config)
        for count in config.label_counts
    ]


def carry_out(study: StudyAtWork, missing: Sequence[Trial], *, processes: int | None = None) -> Iterator[Outcome]:
    """Carry out trials path by path, several side by side; those of a path are there together.

    Args:
        study: at work.
        missing: of its trials.
        processes: how many paths at once at most; None: one a core. What comes does not depend on it.

    Raises:
        StudyChangedError: if trials are stored that were made of other labels, candidates or strategies.
    """
    if not missing:
        return
    config, found = study.config, pool_at_work(study)
    content = content_of(found, config)
    _require_unchanged(study, content)
    by_path: dict[tuple[str, str, int], dict[int, Trial]] = defaultdict(dict)
    for trial in missing:
        by_path[trial.arm, trial.annotator, trial.seed][trial.budget] = trial
    paths = [LabelPath(*path, tuple(sorted(trials))) for path, trials in by_path.items()]  # type: ignore[arg-type]
    arguments = {
        "pool": found.pool,
        "parts": parts_of(found.pool, config),
        "arms": arms_of(config),
        "files": tuple(map(str, config.strategy_files)),
        "agreement": config.agreement,
        "seed": config.seed,
    }
    for path, came in side_by_side(HeadPaths, arguments, paths, method="carry_out", processes=processes):
        trials = by_path[path.arm, path.annotator, path.seed]
        for count, (figures, seconds) in came.items():
            yield Outcome(trials[count], figures | {"content": content}, seconds)


def content_of(found: StudyPool, config: StudyConfig) -> str:
    """A hash of what trials are made of beside their configuration: candidates, scores, labels, users' strategies."""
    pool = found.pool
    arrays = [pool.lengths, pool.utilities, *(pool.labelled or ())]
    code = [rule.origin for rule in load_strategies(arms_of(config), map(Path, config.strategy_files)).values()]
    values = [None if array is None else np.nan_to_num(array, nan=-1e300).tolist() for array in arrays]
    return content_key("study content", found.embedder.key, list(found.response_ids), values, code)[:16]


def _require_unchanged(study: StudyAtWork, content: str) -> None:
    with study.sessions() as session:
        stored_ones = outcomes_of(session, study.run_id).values()
    if any(outcome.figures.get("content", content) != content for outcome in stored_ones):
        raise StudyChangedError(
            f"labels, scores or strategies are not what they were when study {study.run_id} began, and its trials "
            "would not fit together; begin another: the same command with another --name"
        )


def _figures(point: Point, selection_ms: float | None) -> Figures:
    by_prompt = {name: _as_json(values) for name, values in point.figures.items()}
    return {"decided": point.decided, "selection_ms": selection_ms, "by_prompt": by_prompt}


def _as_json(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), DECIMALS) for value in values]
