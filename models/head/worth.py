"""What the labels so far are worth: a learning curve, what the next labels are expected to add, strategies compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.head.curve import Curve, Labels, Prepared, drawn, learning_curve, prepare, right
from models.head.extrapolation import CONFIDENCE, Promise, curve_intervals, promise
from models.head.propagation import Votes
from models.intervals import Interval, clustered_mean

MIN_CURVE_LABELS = 100  # with fewer, the next hundred are expected to add something between −10 and 15 points
MIN_DIALOGUES = 20
MIN_TESTED = 30  # labels of random pairs, for strategies to be compared on them alone
MIN_STRATEGY_LABELS = 40
MOST_LABELS = 3_000  # of these the curves of four strategies take 3 s of a core, and every report has them

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """The share of held-out labels that heads fitted to `count` labels are right about, with a 90 % interval."""

    count: int
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class StrategyWorth:
    """What the labels of one strategy teach, measured on held-out labels that all strategies have in common.

    Attributes:
        label_count: the strategy's decided labels.
        at_common: accuracy at the number of labels that every strategy has.
        next: what its next labels are expected to add.
    """

    strategy: str
    label_count: int
    at_common: Point
    next: Promise


@dataclass(frozen=True, slots=True)
class Worth:
    """What labels are worth; all intervals are 90 %.

    Attributes:
        label_count: decided labels.
        dialogue_count: dialogues that they are of: prompts that begin alike are one.
        curve: accuracy by number of labels; empty where there are too few.
        next: what the next 100 are expected to add; None where there are too few.
        longer: the share of labels for the longer response, without any label to learn from.
        strategies: those with labels enough, if there are two or more.
        tested_on: `random` where strategies are compared on labels of random pairs, else `all`.
    """

    label_count: int
    dialogue_count: int
    curve: tuple[Point, ...]
    next: Promise | None
    longer: Interval | None
    strategies: tuple[StrategyWorth, ...] = ()
    tested_on: str = "all"


def label_worth(
    labels: Labels, length_gaps: _Floats, selected_by: Mapping[str, NDArray[np.bool_]], *, seed: int = 0
) -> Worth:
    """Say what labels are worth. Of more than `MOST_LABELS`, curves are made of so many, drawn by dialogue.

    Args:
        labels: decided ones; their differences are read where a curve is made, of the labels that it is made of.
        length_gaps: (n,) the first response's length minus the second's.
        selected_by: strategy → (n,) whether it selected the pair.
        seed: of splits and draws.
    """
    dialogue_count = len(np.unique(labels.dialogues))
    longer = None
    if len(labels.shares):
        rights = right(length_gaps, labels.shares)
        longer = clustered_mean(rights, labels.dialogues, confidence=CONFIDENCE)
    if len(labels.shares) < MIN_CURVE_LABELS or dialogue_count < MIN_DIALOGUES:
        return Worth(len(labels.shares), dialogue_count, (), None, longer)
    kept = drawn(labels.dialogues, MOST_LABELS, seed)
    prepared = prepare(labels.differences[kept], Votes(labels.shares[kept], labels.weights[kept]))
    dialogues, everything = labels.dialogues[kept], np.ones(len(kept), dtype=bool)
    curve = learning_curve(prepared, dialogues, learns=everything, tests=everything, seed=seed)
    expected = promise(curve, len(labels.shares), drawn_from=len(kept), seed=seed) if curve else None
    masks = {strategy: mask[kept] for strategy, mask in selected_by.items()}
    counts = {strategy: int(mask.sum()) for strategy, mask in selected_by.items()}
    is_random = masks.get("random", ~everything)
    tests = is_random if is_random.sum() >= MIN_TESTED else everything
    return Worth(
        len(labels.shares),
        dialogue_count,
        _points(curve) if curve else (),
        expected,
        longer,
        _strategies((prepared, dialogues), masks, counts, tests, seed),
        "random" if tests is is_random else "all",
    )


def _points(curve: Curve) -> tuple[Point, ...]:
    return tuple(Point(int(size), one) for size, one in zip(curve.sizes, curve_intervals(curve), strict=True))


def _strategies(
    drawn_labels: tuple[Prepared, NDArray[np.int64]],
    selected_by: Mapping[str, NDArray[np.bool_]],
    counts: Mapping[str, int],
    tests: NDArray[np.bool_],
    seed: int,
) -> tuple[StrategyWorth, ...]:
    """Each strategy's curve on the same held-out labels; nothing where fewer than two have labels enough.

    `selected_by` and `tests` are of the drawn labels, with their dialogues; `counts` of all.
    """
    prepared, dialogues = drawn_labels
    curves: dict[str, tuple[Curve, Promise]] = {}
    for strategy, mask in selected_by.items():
        if (learnt := int(mask.sum())) >= MIN_STRATEGY_LABELS:
            curve = learning_curve(prepared, dialogues, learns=mask, tests=tests, seed=seed)
            expected = promise(curve, counts[strategy], drawn_from=learnt, seed=seed) if curve else None
            if curve and expected:
                curves[strategy] = (curve, expected)
    if len(curves) < 2:
        return ()
    common = min(int(curve.sizes[-1]) for curve, _ in curves.values())
    return tuple(
        StrategyWorth(strategy, expected.count, Point(common, curve_intervals(curve, at=common)[0]), expected)
        for strategy, (curve, expected) in curves.items()
    )
