"""Trials with a reward head: a strategy's pairs, an annotator's labels, a head of the first n, measured held out.

One path is one strategy, annotator and seed over all budgets. Whatever is not the strategy's own is shared by all arms
of a seed: the order of prompts, the noise of labels, the axes of the head, the held-out pairs. Knows no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.head import MIN_LABELS, Head, independence
from models.head.axes import on_and_off, principal_axes
from models.head.fitting import fit_posteriors
from models.head.propagation import Votes, one_thread
from models.selection import StrategyRule
from models.studies.annotators import Annotator
from models.studies.asking import asked_pairs
from models.studies.held_out import HeldOut, held_out
from models.studies.pool import Floats, Pool, Rows, Split

# As many as `models.head.curve` takes: for the side that a margin is on more are no better.
AXES = 64
_AXIS_PAIRS = 4_000  # that the axes are those of


class Laboratory(NamedTuple):
    """What all paths of a study share.

    Attributes:
        pool: the candidates.
        split: training and held-out groups.
        axes: (d, k) on which every head carries its reward: those of pairs of the training groups, without a label.
        held_out: what heads are measured on.
    """

    pool: Pool
    split: Split
    axes: Floats
    held_out: HeldOut


class Point(NamedTuple):
    """What came of the first `labels` labels of a path.

    Attributes:
        labels: that were paid for, ties among them.
        decided: those that prefer one response: the head learnt from these.
        figures: name → (held-out groups,) float64, NaN where a group has no such pair.
    """

    labels: int
    decided: int
    figures: dict[str, Floats]


def laboratory(pool: Pool, parts: Split, *, by_labels: bool, seed: int) -> Laboratory:
    """Prepare what all paths share.

    Args:
        pool: of candidates.
        parts: its training and held-out groups.
        by_labels: whether stored labels say what is right on held-out groups, or utilities.
        seed: of the study, for the draw of pairs that axes are made of.

    Raises:
        ValueError: if no held-out pair is known.
    """
    rng, pairs, usable = np.random.default_rng(seed), [], pool.is_usable
    each = max(1, _AXIS_PAIRS // max(1, len(parts.training)))
    for rows in pool.rows_of(parts.training):
        own = rows[usable[rows]]
        if len(own) > 1:
            first = rng.integers(0, len(own), each)
            second = (first + rng.integers(1, len(own), each)) % len(own)
            pairs.append(np.stack([own[first], own[second]], axis=1))
    rows = np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64)
    with one_thread():
        axes = principal_axes(_differences(pool, rows), AXES)
    return Laboratory(pool, parts, axes, held_out(pool, parts.held_out, by_labels=by_labels))


def head_path(
    lab: Laboratory, rule: StrategyRule, annotator: Annotator, *, seed: int, counts: Sequence[int]
) -> list[Point]:
    """A head of the first n labels of a strategy, for each n of `counts`, measured on the held-out groups.

    A strategy that asks for what the labels so far say (`margins`, `deviations`, `is_labelled`) is asked in rounds of
    25, the first without a head.

    Args:
        lab: as `laboratory` made it.
        rule: the strategy.
        annotator: who labels.
        seed: of the order of prompts, of random pairs and of noise.
        counts: numbers of labels, each at least 1.

    Raises:
        ValueError: if the training groups hold fewer pairs to label than the largest count.
        StrategyError: if the strategy fails.
    """
    with one_thread():
        rows = asked_pairs(
            lab.pool,
            lab.split.training,
            rule,
            lambda pairs: annotator.answer(pairs, seed),
            lambda pairs, answers: _fitted(lab, pairs, answers, least=MIN_LABELS),
            seed=seed,
            count=max(counts),
        )
        answers = annotator.answer(rows, seed)
        return [_point(lab, rows[:count], answers[:count]) for count in counts]


def label_grid(budgets: Sequence[int], most: int) -> tuple[int, ...]:
    """Numbers of labels to measure at, so that savings can be told: the budgets, and steps of √2 around them.

    From a quarter of the smallest budget (10 at least) to twice the largest, `most` at most.
    """
    kept = {budget for budget in budgets if budget <= most}
    low, high = max(10, min(budgets) // 4), min(2 * max(budgets), most)
    if low < high:
        kept |= {low, high}
        steps = [round(low * 2 ** (step / 2)) for step in range(1, int(2 * np.log2(high / low)) + 1)]
        kept |= {step for step in steps if all(abs(np.log2(step / other)) > 0.2 for other in kept)}
    return tuple(sorted(kept))


def _point(lab: Laboratory, rows: Rows, answers: Floats) -> Point:
    head = _fitted(lab, rows, answers, least=1)
    return Point(len(rows), int((answers != 0.5).sum()), lab.held_out.measure(lab.pool, head))


def _fitted(lab: Laboratory, rows: Rows, answers: Floats, *, least: int) -> Head | None:
    """A head of the decided pairs; None of fewer than `least`."""
    is_decided = answers != 0.5
    pairs = rows[is_decided]
    if len(pairs) < least:
        return None
    votes = Votes(answers[is_decided], independence(*pairs.T))
    return Head(lab.axes, fit_posteriors(*on_and_off(_differences(lab.pool, pairs), lab.axes), votes), len(pairs))


def _differences(pool: Pool, rows: Rows) -> NDArray[np.float32]:
    first, second = rows.T
    differences: NDArray[np.float32] = pool.embeddings[first] - pool.embeddings[second]
    return differences
