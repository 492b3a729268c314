"""What trials that train policies say: arms beside each other, differences to random, curves, samples.

Knows no database. An arm's values are (seeds, prompts), so that differences pair over both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.intervals import Interval, clustered_mean
from models.studies.comparing import Compared, Values, compared
from models.studies.findings import Findings, IntervalPlot, Line, LinePlot, Section, Table
from models.studies.trials import Outcome

RANDOM = "random"


class Figure(NamedTuple):
    """A figure that is kept by prompt.

    Attributes:
        title: in words, with its unit.
        prompts: the name of the list of its prompts.
        short: of a table's column.
    """

    title: str
    prompts: str
    short: str


FIGURES: dict[str, Figure] = {
    "win_rate": Figure("Win rate against the start (share, ties half)", "compared_prompts", "win rate"),
    "like_length_win_rate": Figure(
        "Win rate against the start, responses of like length (share, ties half)", "compared_prompts", "at like length"
    ),
    "accuracy": Figure("Held-out pairs whose better response gets the higher reward (share)", "prompts", "accuracy"),
    "margin": Figure("Margin of the implicit reward on held-out pairs", "prompts", "margin"),
    "chosen_reward": Figure("Implicit reward of held-out chosen responses", "prompts", "chosen reward"),
}  # fmt: skip
MEANS = (
    ("win", "win"), ("tie", "tie"), ("lose", "lose"), ("length_controlled", "win rate, length controlled"),
    ("margin", "margin"), ("loss", "loss"), ("accuracy", "accuracy"), ("chosen_reward", "reward of chosen"),
    ("perplexity", "perplexity of chosen"), ("kl", "KL to start, nats"), ("rouge_l", "ROUGE-L"),
)  # fmt: skip
CHOICE = (
    ("labels", "labels"),
    ("preferences", "preferences"),
    ("similarity", "mean cosine"),
    ("length_ratio", "shorter ÷ longer"),
)

Cell = tuple[str, int]  # an annotator and a budget


def findings_of(
    outcomes: Sequence[Outcome], *, question: str, names: Sequence[str], more: Sequence[Section] = ()
) -> Findings:
    """What trials say, arms against random in these figures; the first that was measured gives the answer."""
    differences = to_random(outcomes, names)
    measured = [name for name in names if any(figure == name for figure, *_ in differences)]
    samples, curves = samples_section(outcomes), curve_plots(outcomes)
    return Findings(
        question=question,
        answer=answer_of(differences, measured[0] if measured else names[0]),
        sections=(
            difference_section(differences, measured),
            levels_section(outcomes),
            *([Section("Along training", plots=curves)] if curves else []),
            *more,
            *([samples] if samples else []),
        ),
        sizes=sizes_of(outcomes, len(differences)),
    )


def values_of(outcomes: Sequence[Outcome], name: str, among: Sequence[Outcome] | None = None) -> dict[str, Values]:
    """Arm → (seeds, prompts) of a figure; NaN where an arm was not measured on a prompt. Empty where nobody has it.

    `among`: the outcomes whose seeds and prompts are the axes; None: these.
    """
    figure, of_axes = FIGURES[name], outcomes if among is None else among
    seeds = sorted({one.trial.seed for one in of_axes})
    measured = [one for one in of_axes if name in one.figures["by_prompt"]]
    prompts = sorted({prompt for one in measured for prompt in one.figures["by_prompt"][figure.prompts]})
    column = {prompt: at for at, prompt in enumerate(prompts)}
    found: dict[str, Values] = {}
    for one in outcomes:
        by_prompt = one.figures["by_prompt"]
        if name not in by_prompt:
            continue
        array = found.setdefault(one.trial.arm, np.full((len(seeds), len(prompts)), np.nan))
        for prompt, value in zip(by_prompt[figure.prompts], by_prompt[name], strict=True):
            array[seeds.index(one.trial.seed), column[prompt]] = np.nan if value is None else value
    return {arm: values for arm, values in found.items() if not np.isnan(values).all()}


def to_random(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[tuple[str, str, Cell], Compared]:
    """(figure, arm, annotator and budget) → the arm less random, all corrected together."""
    pairs = {}
    for cell, of_cell in cells(outcomes).items():
        for name in names:
            values = values_of(of_cell, name)
            for arm in values:
                if arm != RANDOM and RANDOM in values and not np.isnan(values[arm] - values[RANDOM]).all():
                    pairs[name, arm, cell] = (values[arm], values[RANDOM])
    return compared(pairs)


def cells(outcomes: Sequence[Outcome]) -> dict[Cell, list[Outcome]]:
    """The outcomes by annotator and budget, in their order."""
    found: dict[Cell, list[Outcome]] = {}
    for one in outcomes:
        found.setdefault((one.trial.annotator, one.trial.budget), []).append(one)
    return found


def answer_of(differences: Mapping[tuple[str, str, Cell], Compared], name: str) -> str:
    """What the differences in one figure allow to say, in one or two sentences."""
    of_name = {(arm, cell): one for (figure, arm, cell), one in differences.items() if figure == name}
    what = FIGURES[name].short
    if not of_name:
        return f"Cannot tell: no {what} was measured against random; name who compares: --evaluate.annotator."
    more = [f"{_words(arm, cell)} by {one.interval:+.3g}" for (arm, cell), one in of_name.items() if one.is_more]
    less = [f"{_words(arm, cell)} by {one.interval:+.3g}" for (arm, cell), one in of_name.items() if one.is_less]
    widest = max((one.corrected.high - one.corrected.low) / 2 for one in of_name.values())
    told = ([f"above random in {what}: {'; '.join(more)}"] if more else []) + (
        [f"below random in {what}: {'; '.join(less)}"] if less else []
    )
    if told:
        return f"{'. '.join(one[0].upper() + one[1:] for one in told)} (corrected for {len(differences)} comparisons)."
    unseen = (
        f"differences below about {widest:.2g} are not seen at this size"
        if math.isfinite(widest)
        else "a single seed leaves no interval"
    )
    return (
        f"Cannot tell: no arm differs from random in {what} after correction for {len(differences)} comparisons; "
        f"{unseen}."
    )


def difference_section(differences: Mapping[tuple[str, str, Cell], Compared], names: Sequence[str]) -> Section:
    """Each arm less random: a plot a figure, and a table of all."""
    plots = tuple(
        IntervalPlot(
            title=f"{FIGURES[name].short.capitalize()}: arm less random",
            x_title=f"Difference: {FIGURES[name].title}",
            rows=tuple(
                (_words(arm, cell), one.interval) for (figure, arm, cell), one in differences.items() if figure == name
            ),
            caption="95 % intervals over seeds and held-out prompts, before correction.",
            reference=0.0,
        )
        for name in names
        if any(figure == name for figure, *_ in differences)
    )
    rows = tuple(
        (
            FIGURES[figure].short,
            _words(arm, cell),
            f"{one.interval:+.3f}",
            f"{one.corrected:+.3f}",
            f"{one.corrected_p:.3f}",
        )
        for (figure, arm, cell), one in differences.items()
    )
    table = Table(
        "Differences to random", ("figure", "arm", "difference [95 %]", "all at once", "p, corrected"), rows,
        text_columns=2, note=f"Paired by seed and prompt; {len(rows)} comparisons corrected together (Holm).",
    )  # fmt: skip
    return Section("Each arm against random", plots=plots, tables=(table,))


def levels_section(outcomes: Sequence[Outcome]) -> Section:
    """How each arm did by itself: means over seeds, with what it chose."""
    has_cells = len(cells(outcomes)) > 1
    rows, chosen = [], []
    for cell, of_cell in cells(outcomes).items():
        for arm in dict.fromkeys(one.trial.arm for one in of_cell):
            own = [one.figures for one in of_cell if one.trial.arm == arm]
            name = _words(arm, cell) if has_cells else arm
            rows.append((name, *(_mean([each.get(figure) for each in own]) for figure, _ in MEANS)))
            chosen.append((name, *(_mean([each.get(figure) for each in own]) for figure, _ in CHOICE)))
    return Section(
        "Each arm by itself",
        tables=(
            Table("Against the start, on held-out prompts", ("arm", *(title for _, title in MEANS)), tuple(rows),
                  note="Means over seeds. Margin, loss and accuracy by the implicit reward (REAL eq. 10, 11)."),
            Table("What the arms trained on", ("arm", *(title for _, title in CHOICE)), tuple(chosen),
                  note="Means over seeds. A tie is a label that gives no preference."),
        ),
    )  # fmt: skip


def curve_plots(
    outcomes: Sequence[Outcome], names: Sequence[str] = ("margin", "loss", "accuracy")
) -> tuple[LinePlot, ...]:
    """Figures on the held-out pairs along training, by arm; bands are over seeds (t)."""
    titles = {"margin": "Margin (implicit reward)", "loss": "Loss (nats)", "accuracy": "Accuracy (share)"}
    ranges = {"margin": (-math.inf, math.inf), "loss": (0.0, math.inf), "accuracy": (0.0, 1.0)}
    plots = []
    for cell, of_cell in cells(outcomes).items():
        for name in names:
            lines = []
            for arm in dict.fromkeys(one.trial.arm for one in of_cell):
                curves = [
                    dict(map(tuple, one.figures["curves"].get(name, []))) for one in of_cell if one.trial.arm == arm
                ]
                steps = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
                points = tuple(
                    (float(step), _over_seeds([curve[step] for curve in curves]).within(*ranges[name]))
                    for step in steps
                )
                if len(points) > 1:
                    lines.append(Line(arm, points))
            if lines:
                plots.append(LinePlot(
                    title=f"{titles[name].split(' (')[0]} on held-out pairs along training, {_cell_words(cell)}",
                    x_title="Optimizer steps", y_title=titles[name], lines=tuple(lines),
                    caption="Means over seeds with 95 % intervals of the mean over seeds.",
                ))  # fmt: skip
    return tuple(plots)


def samples_section(outcomes: Sequence[Outcome]) -> Section | None:
    """A few held-out prompts with what the start and each arm answers, of the first seed and cell."""
    first = next(iter(cells([one for one in outcomes if one.figures.get("samples")]).values()), [])
    if not first:
        return None
    rows = []
    for at, (prompt, of_start, _) in enumerate(first[0].figures["samples"]):
        rows.append((prompt, "start", of_start))
        rows += [
            ("", one.trial.arm, one.figures["samples"][at][2]) for one in first if len(one.figures["samples"]) > at
        ]
    cell = _cell_words((first[0].trial.annotator, first[0].trial.budget))
    note = f"The first prompts by their ids, not chosen; {cell}."
    table = Table("Held-out prompts", ("prompt", "who", "response"), tuple(rows), text_columns=3, note=note)
    return Section("Samples side by side", tables=(table,))


def sizes_of(outcomes: Sequence[Outcome], comparisons: int) -> tuple[tuple[str, str], ...]:
    """What the figures rest on."""
    prompts = {prompt for one in outcomes for prompt in one.figures["by_prompt"]["prompts"]}
    arms = list(dict.fromkeys(one.trial.arm for one in outcomes))
    return (
        ("Arms tried", f"{len(arms)}: {', '.join(arms)}"),
        ("Seeds", f"{len({one.trial.seed for one in outcomes})}"),
        ("Held-out prompts", f"{len(prompts):,}, a random pair each"),
        ("Trainings", f"{len(outcomes):,}, {len({one.figures['policy'] for one in outcomes}):,} of them different"),
        ("Comparisons corrected for", f"{comparisons}"),
    )


def _over_seeds(values: Sequence[float]) -> Interval:
    """The mean with its t interval over seeds; of one seed the value alone."""
    if len(values) < 2:
        return Interval(values[0], values[0], values[0])
    return clustered_mean(values, np.arange(len(values)))


def _words(arm: str, cell: Cell) -> str:
    words = _cell_words(cell)
    return f"{arm}, {words}" if words else arm


def _cell_words(cell: Cell) -> str:
    annotator, budget = cell
    return ", ".join(filter(None, (annotator, f"{budget:,} labels" if budget else "")))


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = float(np.mean(known))
    return f"{mean:,.0f}" if abs(mean) >= 100 or all(isinstance(value, int) for value in known) else f"{mean:.3f}"
