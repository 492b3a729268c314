"""What the study of drift says, in words, tables and plots. Its figures are made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.intervals import Interval, clustered_mean
from models.studies.comparing import crossed_mean
from models.studies.drift import KEPT_BY, Moved
from models.studies.findings import Findings, HistogramPlot, Line, LinePlot, Section, Table

CONTEXT_WORDS = {"response": "y alone", "prompt_and_response": "(x, y)"}


class Checkpoint(NamedTuple):
    """A moment of the training under one seed: its name, how many steps were done, and what moved by context."""

    name: str
    steps: int
    seed: int
    moved: Mapping[str, Moved]


def drift_findings(run: str, method: str, checkpoints: Sequence[Checkpoint]) -> Findings:
    """What all checkpoints of all seeds say, the earliest first."""
    names = list(dict.fromkeys(one.name for one in sorted(checkpoints, key=lambda one: one.steps)))
    by_name = {name: [one for one in checkpoints if one.name == name] for name in names}
    contexts = [context for context in CONTEXT_WORDS if context in checkpoints[0].moved]
    last = by_name[names[-1]]
    return Findings(
        question=f"Do the base model's embeddings still choose the same pairs as training goes on, in run {run}?",
        answer=_answer(last, contexts),
        sections=(_along(by_name, contexts), *(_histogram(by_name, context) for context in contexts)),
        sizes=(
            ("Training", f"{method}, {last[0].steps:,} steps at a constant learning rate"),
            ("Seeds", str(len({one.seed for one in last}))),
            ("Held-out prompts", f"{len(last[0].moved[contexts[0]].prompts):,}"),
            ("Responses", f"{last[0].moved[contexts[0]].responses:,}"),
            ("Intervals", "95 %, seeds and prompts both random"),
        ),
    )


def kept(checkpoints: Sequence[Checkpoint], context: str, strategy: str) -> Interval:
    """The share of prompts whose pair stays the same, over seeds and prompts, within 0 and 1."""
    return _crossed([one.moved[context].kept[strategy] for one in checkpoints]).within(0, 1)


def correlation(checkpoints: Sequence[Checkpoint], context: str) -> Interval:
    """The mean correlation of a response's two embeddings, over seeds and prompts, 1 at most."""
    return _crossed([one.moved[context].correlation for one in checkpoints]).within(-1, 1)


def _crossed(rows: Sequence[Sequence[float | None]]) -> Interval:
    """Over seeds and prompts; of one seed, as the fine-tuned model has, over prompts alone."""
    values = np.array(rows, dtype=np.float64)
    if len(rows) > 1:
        return crossed_mean(values)
    there = values[~np.isnan(values)]
    return clustered_mean(there, np.arange(len(there)))


def _answer(last: Sequence[Checkpoint], contexts: Sequence[str]) -> str:
    parts = [
        f"{CONTEXT_WORDS[context]}: correlation with the base model's embeddings {correlation(last, context):.3f}, "
        f"{kept(last, context, 'easy'):.3f} of the prompts keep their easy pair "
        f"({last[0].moved[context].by_chance:.2f} by chance)"
        for context in contexts
    ]
    return f"At the end of training, {'; '.join(parts)}."


def _along(by_name: Mapping[str, Sequence[Checkpoint]], contexts: Sequence[str]) -> Section:
    def lines(value: str) -> tuple[Line, ...]:
        return tuple(
            Line(
                CONTEXT_WORDS[context],
                tuple(
                    (
                        float(some[0].steps),
                        kept(some, context, "easy") if value == "kept" else correlation(some, context),
                    )
                    for some in by_name.values()
                ),
            )
            for context in contexts
        )

    steps = "optimizer steps after fine-tuning"
    return Section(
        "Along training",
        paragraphs=(
            "Responses to held-out prompts are embedded by the base model and by each checkpoint. A checkpoint is a "
            "training that ends there: at a constant learning rate without warm-up, under the same seed, its steps are "
            "the first ones of the longer training.",
        ),
        plots=(
            LinePlot("Correlation with the base model's embeddings", steps, "Pearson's r", lines("correlation")),
            LinePlot("Prompts that keep their easy pair", steps, "share of the prompts", lines("kept")),
        ),
        tables=(
            Table(
                "Checkpoints",
                ("checkpoint", "read", "steps", "correlation, 95 %", "ρ of similarities",
                 *(f"same {strategy} pair" for strategy in KEPT_BY), "by chance"),
                tuple(_row(name, some, context) for context in contexts for name, some in by_name.items()),
                text_columns=2,
                note="ρ of similarities: rank correlation over all pairs of a prompt's responses, mean over seeds. The "
                "fine-tuned model is one for all seeds: its intervals are over prompts alone.",
            ),
        ),
    )  # fmt: skip


def _row(name: str, some: Sequence[Checkpoint], context: str) -> tuple[str, ...]:
    ranks = [found for one in some if (found := one.moved[context].rank_correlation) is not None]
    return (
        name,
        CONTEXT_WORDS[context],
        f"{some[0].steps:,}",
        f"{correlation(some, context):.3f}",
        f"{np.mean(ranks):.3f}" if ranks else "–",
        *(f"{kept(some, context, strategy):.3f}" for strategy in KEPT_BY),
        f"{some[0].moved[context].by_chance:.2f}",
    )


def _histogram(by_name: Mapping[str, Sequence[Checkpoint]], context: str) -> Section:
    first = {name: some[0].moved[context] for name, some in by_name.items()}
    base = next(iter(first.values()))
    return Section(
        f"Similarities of pairs, {CONTEXT_WORDS[context]}",
        plots=(
            HistogramPlot(
                f"Similarities over time, {CONTEXT_WORDS[context]}",
                "cosine of two responses to one prompt",
                "pairs",
                base.edges,
                (("base model", base.base_counts), *((name, found.counts) for name, found in first.items())),
                caption="Of the first seed; the outer bins hold what lies beyond.",
            ),
        ),
    )
