"""The report of a study of labels: words, plots and tables of what was measured. Knows no database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.intervals import Interval
from models.studies.advice import Evidence
from models.studies.findings import Findings, IntervalPlot, Line, LinePlot, Section, Table
from models.studies.policy_arms import as_drawn
from tasks.config.studies import StudyConfig
from tasks.studies.head_learner import BASELINE
from tasks.studies.measured import ACCURACY, ALIKE, WIN_RATE, WIN_RATE_ALIKE, Measured

WHO = {
    "truth": "Labels without noise",
    "noisy": "Labels through noise",
    "stored": "Stored labels",
}
TITLES = {
    ACCURACY: "Held-out pairs judged rightly (share)",
    ALIKE: "Held-out pairs of like length judged rightly (share)",
    WIN_RATE: "Best of a prompt's responses by the head beats another (share)",
    WIN_RATE_ALIKE: "The same among responses of like length (share)",
}
LABELS = "Labels"
SAVING = "Labels that random needs ÷ labels that the strategy needs"


def findings_of(question: str, answer: str, measured: Sequence[Measured], config: StudyConfig) -> Findings:
    """The report of a study with a reward head: one part a labeller, savings first."""
    return Findings(
        question=question,
        answer=answer,
        sections=tuple(section for one in measured for section in sections_of(one, config)),
        sizes=tuple(sizes_of(measured)),
    )


def answer_of(one: Measured, config: StudyConfig) -> str:
    """What the intervals of a labeller's trials allow to say, and no more."""
    if not one.is_comparable:
        return f"{who(one, config)}: cannot tell, no arm could be compared with random."
    worse: dict[str, list[str]] = {}
    for (arm, budget), each in one.evidence.items():
        if each.gain.is_less:
            worse.setdefault(arm, []).append(f"{budget:,}")
    told = "; ".join(f"`{arm}` at {', '.join(budgets)} labels" for arm, budgets in worse.items())
    return f"{who(one, config)}. {one.advice.words}{f' Surely worse than random: {told}.' if worse else ''}"


def who(one: Measured, config: StudyConfig) -> str:
    """The labeller in words."""
    words = WHO[one.annotator]
    return f"{words} (two agree on {100 * config.agreement:.0f} %)" if one.annotator == "noisy" else words


def sections_of(one: Measured, config: StudyConfig) -> list[Section]:
    """What one labeller's trials say: savings, differences, curves, win rates, cost."""
    name = who(one, config)
    if not one.is_comparable:
        return [Section(name, (answer_of(one, config),))]
    sections = [_saved(one, name), _differing(one, name), _curves(one, name), _rest(one, name)]
    if WIN_RATE in one.figures:
        sections.insert(3, _wins(one, name))
    return sections


def brief_sections(one: Measured, name: str) -> list[Section]:
    """The same on one page: savings and differences with the largest budget, the curves, and what stands beside."""
    largest = max(one.budgets)
    rows = tuple(
        (
            arm,
            one.evidence[arm, largest].saving.words,
            _difference(one.evidence[arm, largest], ACCURACY),
            _difference(one.evidence[arm, largest], ALIKE),
        )
        for arm in one.rivals
    )
    table = Table(
        f"Against random, {largest:,} labels each",
        ("strategy", "saving", "points of accuracy", "at like length"),
        rows,
        note=f"95 % intervals; *: stands after Holm's correction for {len(one.evidence)} comparisons.",
    )
    saved, rest = _saved(one, name).plots[-1], _rest(one, name)
    curve = _curve(one, name, ACCURACY)
    return [Section("What it rests on", rest.paragraphs, plots=(saved, curve), tables=(table, *rest.tables))]


def sizes_of(measured: Sequence[Measured]) -> Iterable[tuple[str, str]]:
    """What a study rests on."""
    for one in measured[:1]:
        yield "Training prompts", f"{one.size('training_prompts'):,}"
        yield "Held-out prompts", f"{one.held_out_prompts:,}"
        yield "Seeds", f"{len(one.seeds):,}"
        yield "Arms tried", f"{len(one.arms):,} ({', '.join(one.arms)})"
        yield "Budgets", f"{', '.join(f'{budget:,}' for budget in one.budgets)} labels"
    for one in measured:
        words = WHO[one.annotator].lower()
        yield f"Held-out pairs, {words}", f"{one.size('held_out_pairs'):,}"
        yield f"Of like length, {words}", f"{one.size('held_out_alike_pairs'):,}"
        if one.is_comparable:
            yield f"Comparisons corrected for, {words}", f"{len(one.evidence):,}, and as many at like length"


def _saved(one: Measured, name: str) -> Section:
    rows = []
    for arm in one.rivals:
        rows.append((arm, *(one.evidence[arm, budget].saving.words for budget in one.budgets)))
    plots = tuple(
        IntervalPlot(
            title=f"{name}: saving at {budget:,} labels",
            x_title=SAVING,
            rows=tuple((arm, one.evidence[arm, budget].saving.interval) for arm in one.rivals),
            caption="95 % intervals; left of 1 a strategy costs labels. At an edge: as much, or beyond.",
            is_x_logarithmic=True,
            reference=1.0,
        )
        for budget in one.budgets
    )
    table = Table(
        f"{SAVING}, by the quality that random reaches with so many",
        ("strategy", *(f"{budget:,} labels" for budget in one.budgets)),
        tuple(rows),
        note="With 95 % intervals over seeds and held-out prompts; ≥ and ≤: beyond what was tried.",
    )
    return Section(f"{name}: labels saved", plots=plots, tables=(table,))


def _differing(one: Measured, name: str) -> Section:
    tables = []
    for figure in (ACCURACY, ALIKE):
        rows = tuple(
            (arm, *(_difference(one.evidence[arm, budget], figure) for budget in one.budgets)) for arm in one.rivals
        )
        tables.append(
            Table(
                f"{TITLES[figure]}, less random's",
                ("strategy", *(f"{budget:,} labels" for budget in one.budgets)),
                rows,
                note=f"Hundredths with 95 % intervals; *: stands after Holm's correction for {len(one.evidence)}.",
            )
        )
    return Section(f"{name}: differences to random", tables=tuple(tables))


def _difference(each: Evidence, figure: str) -> str:
    found = each.gain if figure == ACCURACY else each.gain_alike
    if found is None:
        return "no such pair"
    hundredths = Interval(*(100 * bound for bound in found.interval))
    return f"{hundredths:+.1f}{'*' if found.is_more or found.is_less else ''}"


def _curves(one: Measured, name: str) -> Section:
    return Section(
        f"{name}: learning curves",
        plots=tuple(_curve(one, name, figure) for figure in (ACCURACY, ALIKE) if figure in one.figures),
    )


def _curve(one: Measured, name: str, figure: str) -> LinePlot:
    lines = tuple(
        Line(arm, tuple((float(count), as_drawn(one.level(arm, count, figure))) for count in one.counts))
        for arm in one.arms
    )
    return LinePlot(f"{name}: what labels teach", LABELS, TITLES[figure], lines, is_x_logarithmic=True, reference=0.5)


def _wins(one: Measured, name: str) -> Section:
    tables = tuple(
        Table(
            TITLES[figure],
            ("strategy", *(f"{budget:,} labels" for budget in one.budgets)),
            tuple((arm, *(f"{one.level(arm, budget, figure):.3f}" for budget in one.budgets)) for arm in one.arms),
        )
        for figure in (WIN_RATE, WIN_RATE_ALIKE)
        if figure in one.figures
    )
    return Section(f"{name}: win rates by the true utility or score", tables=tables)


def _rest(one: Measured, name: str) -> Section:
    longer = (
        f"Without any label, taking the longer response is right in {one.longer_wins:.3f} of the held-out pairs; "
        f"random's {max(one.budgets):,} labels teach {one.level(BASELINE, max(one.budgets), ACCURACY):.3f}."
    )
    rows = tuple((arm, _cost(one.selection_ms(arm)), f"{one.decided_share(arm):.2f}") for arm in one.arms)
    table = Table(
        "What selecting costs, and how many labels prefer a side",
        ("strategy", "ms for 1,000 prompts", "share of labels that prefer a side"),
        rows,
        note="One core, vectors in memory; a tie costs a label and teaches nothing.",
    )
    return Section(f"{name}: beside it", (longer, *_same_pairs(one)), tables=(table,))


def _same_pairs(one: Measured) -> tuple[str, ...]:
    """What intervals leave out where a budget takes half of the training prompts, or more."""
    prompts, most = one.size("training_prompts"), max(one.budgets)
    if 2 * most < prompts:
        return ()
    return (
        f"With {most:,} labels of {prompts:,} training prompts a strategy that draws nothing (`easy`, `hard`, "
        "`longest_gap`) labels many of the same pairs under every seed (half of them at half of the prompts), and the "
        "luck of these is in no interval: of its differences to random those at half of the training prompts or more "
        "are less sure than 95 %, the more so the more seeds there are and the less noise is in a label "
        "(docs/decisions/0043).",
    )


def _cost(milliseconds: float | None) -> str:
    return "a head each round" if milliseconds is None else f"{milliseconds:.0f}"
