"""Benchmarks of a study's policies, and their relative gain over the model that all begin with (LD-Align's table).

Reads of an outcome's figures `benchmarks`, task → score, and the start's among `start_scores`. Knows no lm-eval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from models.intervals import Interval
from models.studies.findings import IntervalPlot, Section, Table
from models.studies.policy_arms import over_seeds
from models.studies.trials import Outcome

SCORES = ("acc", "exact_match", "r@1")  # a share of right answers, by lm-eval's names; MuTual's is r@1
_START = "the fine-tuned model"

Metrics = Mapping[str, Mapping[str, float]]


def task_scores(tasks: Sequence[str], measured: Metrics) -> dict[str, float]:
    """The share of right answers of each task: `acc`, else the first `exact_match` or `r@1`, whatever its filter.

    One score a task: `acc_norm` is not read beside `acc`.

    Raises:
        ValueError: A task has no such metric, so that it is not known whether more of it is better.
    """
    return {task: _score(task, measured.get(task, {})) for task in tasks}


def relative_gain(scores: Mapping[str, float], start: Mapping[str, float]) -> float | None:
    """The mean over tasks of (score − start's) / start's, in percent (LD-Align's table, last column).

    None where the start has no right answer to some task: nothing is a share of that.
    """
    if not all(start[task] for task in scores):
        return None
    return 100 * mean((scores[task] - start[task]) / start[task] for task in scores)


def benchmark_sections(arms: Mapping[str, Sequence[Outcome]]) -> list[Section]:
    """Scores and gains of every arm, no section where no benchmark was run."""
    first = next(iter(arms.values()))[0].figures
    if "benchmarks" not in first:
        return []
    start: dict[str, float] = first["start_scores"]["benchmarks"]
    gains = {arm: _gain(of_arm) for arm, of_arm in arms.items()}
    rows = [(_START, *(f"{100 * score:.1f}" for score in start.values()), "–")]
    for arm, of_arm in arms.items():
        scores = ([100 * one.figures["benchmarks"][task] for one in of_arm] for task in start)
        gain = gains[arm]
        told = "–" if gain is None else f"{gain:+.2f}"
        rows.append((arm, *(f"{over_seeds(values).within(0, 100):.1f}" for values in scores), told))
    note = (
        "Means over seeds [95 %], of right answers. The gain is the mean over tasks of (score − start) / start. The "
        "intervals speak of other trainings, not of other questions of these tasks."
    )
    table = Table(
        "Scores and mean relative gain, percent", ("Arm", *start, "Mean relative gain"), tuple(rows), note=note
    )
    plotted = tuple((arm, gain) for arm, gain in gains.items() if gain is not None)
    title, caption = "Mean relative gain over the fine-tuned model", "95 % intervals are over seeds; 0 is no gain."
    plot = IntervalPlot(title, "Mean relative gain, percent", plotted, caption, reference=0.0)
    return [Section("Benchmarks (LD-Align’s table)", plots=(plot,) if plotted else (), tables=(table,))]


def _score(task: str, metrics: Mapping[str, float]) -> float:
    for wanted in SCORES:
        for name, value in metrics.items():
            if name.split(",")[0] == wanted:
                return value
    found = ", ".join(name for name in metrics if "_stderr" not in name) or "nothing of its own"
    raise ValueError(
        f"benchmark {task} reports {found}, and a gain needs a share of right answers ({', '.join(SCORES)}); leave it "
        "out, or ask for the tasks that it is made of; antipode benchmarks shows whatever lm-eval measures"
    )


def _gain(outcomes: Sequence[Outcome]) -> Interval | None:
    gains = [relative_gain(one.figures["benchmarks"], one.figures["start_scores"]["benchmarks"]) for one in outcomes]
    known = [gain for gain in gains if gain is not None]
    return over_seeds(known) if known else None
