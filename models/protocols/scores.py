"""Scores of the judge protocols: MT-Bench's mean grades, Arena-Hard's win rate, each with a 95 % interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, clustered_mean
from models.protocols.prompts import ArenaVerdict
from models.protocols.question_files import Question

Grades = Sequence[tuple[float | None, ...]]

_OUTCOMES: dict[ArenaVerdict, float] = {"much_better": 1, "better": 1, "tie": 0.5, "worse": 0, "much_worse": 0}


@dataclass(frozen=True, slots=True)
class MtBenchSummary:
    """Mean grades, 1–10. `turns`: by turn, the first one first; an entry is None where no grade could be read."""

    overall: Interval | None
    turns: tuple[Interval | None, ...]
    categories: dict[str, Interval | None]
    unread_grades: int


@dataclass(frozen=True, slots=True)
class ArenaHardSummary:
    """The policy's win rate in percent. `score` is None where no verdict could be read; `verdicts` counts games."""

    score: Interval | None
    verdicts: dict[ArenaVerdict, int]
    unread_games: int


def mt_bench_summary(questions: Sequence[Question], grades: Grades) -> MtBenchSummary:
    """Mean of all grades, of each turn and of each category; grades that are None are counted and left out.

    The questions are the clusters of the interval (`clustered_mean`): two turns of a question are not independent.
    """
    readable_grades = [
        (turn, question.category, number, grade)
        for number, (question, row) in enumerate(zip(questions, grades, strict=True))
        for turn, grade in enumerate(row)
        if grade is not None
    ]
    turn_count = max((len(row) for row in grades), default=0)
    categories = sorted({question.category for question in questions if question.category is not None})
    return MtBenchSummary(
        _mean([row[2:] for row in readable_grades]),
        tuple(_mean([row[2:] for row in readable_grades if row[0] == turn]) for turn in range(turn_count)),
        {category: _mean([row[2:] for row in readable_grades if row[1] == category]) for category in categories},
        sum(grade is None for row in grades for grade in row),
    )


def arena_hard_summary(
    games: Sequence[tuple[ArenaVerdict | None, ArenaVerdict | None]],
    *,
    strong_weight: float,
    resamples: int,
    seed: int,
) -> ArenaHardSummary:
    """Win rate over all games in percent: a win is 1, a tie 0.5, and a strong verdict counts `strong_weight` times.

    The interval runs from the 2.5th to the 97.5th percentile of the win rates of `resamples` draws of as many
    questions, with replacement; its bounds are infinite for a single question. Arena-Hard's control
    of style (length, markdown) is left out.

    Raises:
        ValueError: `strong_weight` is not positive, or `resamples` is not.
    """
    if not strong_weight > 0 or resamples < 1:
        raise ValueError(
            f"strong_weight and resamples must be positive, got {strong_weight} and {resamples}; released code has 3"
        )
    readable_verdicts = [[verdict for verdict in pair if verdict is not None] for pair in games]
    weights = [
        [strong_weight if verdict.startswith("much") else 1.0 for verdict in row] for row in readable_verdicts if row
    ]
    outcomes = [[_OUTCOMES[verdict] for verdict in row] for row in readable_verdicts if row]
    counts = Counter(verdict for row in readable_verdicts for verdict in row)
    score = None
    if weights:
        total = np.array([sum(row) for row in weights])
        won = np.array([np.dot(*rows) for rows in zip(weights, outcomes, strict=True)])
        score = _bootstrapped(won, total, resamples, seed)
    return ArenaHardSummary(score, {verdict: counts[verdict] for verdict in _OUTCOMES}, 2 * len(games) - counts.total())


def _bootstrapped(won: NDArray[np.float64], total: NDArray[np.float64], resamples: int, seed: int) -> Interval:
    mean, count = 100 * float(won.sum() / total.sum()), len(total)
    if count < 2:
        return Interval(mean, -math.inf, math.inf)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    low, high = np.percentile(100 * (draws @ won) / (draws @ total), [2.5, 97.5])
    return Interval(mean, float(low), float(high))


def _mean(rows: Sequence[tuple[int, float]]) -> Interval | None:
    """The mean of grades, each with its question's number."""
    return clustered_mean([grade for _, grade in rows], [number for number, _ in rows]) if rows else None
