"""Arms of a study that are trained policies: their values by seed and prompt, tables and pictures that studies share.

Reads the figures that `tasks/studies/trainings.py` stores: `by_prompt` with lists beside `prompts` or
`compared_prompts`, `curves` of (step, value). Knows no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, clustered_mean
from models.studies.comparing import Compared, compared, crossed_mean
from models.studies.findings import IntervalPlot, Line, Table
from models.studies.trials import Outcome

Values = NDArray[np.float64]
WIN_RATE, LIKE_LENGTH, REWARD_GAIN = "win_rate", "like_length_win_rate", "reward_gain"
_COMPARED = {WIN_RATE, LIKE_LENGTH, REWARD_GAIN}  # of responses that policies gave; others are of held-out preferences
EVEN = 0.5


def values_of(arms: Mapping[str, Sequence[Outcome]], name: str) -> dict[str, Values]:
    """A figure of every arm, (seeds, prompts), NaN where nothing was measured; seeds and prompts are those of all arms.

    An arm without any value is left out; outcomes of an earlier version may lack the figure.
    """
    known_as = "compared_prompts" if name in _COMPARED else "prompts"
    outcomes = [one for of_arm in arms.values() for one in of_arm]
    seeds = {seed: at for at, seed in enumerate(sorted({one.trial.seed for one in outcomes}))}
    measured = [one.figures["by_prompt"].get(known_as, []) for one in outcomes]
    prompts = {prompt: at for at, prompt in enumerate(sorted({prompt for of in measured for prompt in of}))}
    found = {}
    for arm, of_arm in arms.items():
        values = np.full((len(seeds), len(prompts)), np.nan)
        for one in of_arm:
            by_prompt = one.figures["by_prompt"]
            if name not in by_prompt:
                continue
            for prompt, value in zip(by_prompt[known_as], by_prompt[name], strict=True):
                values[seeds[one.trial.seed], prompts[prompt]] = np.nan if value is None else value
        if not np.isnan(values).all():
            found[arm] = values
    return found


def against(control: str, *families: tuple[str, Mapping[str, Values]]) -> dict[tuple[str, str], Compared]:
    """Every arm less the control, (figure, arm) → comparison; all of them are one family that is corrected together."""
    pairs = {
        (figure, arm): (values, of_arms[control])
        for figure, of_arms in families
        if control in of_arms
        for arm, values in of_arms.items()
        if arm != control and not np.isnan(values - of_arms[control]).all()
    }
    return compared(pairs)


def win_rate_table(arms: Mapping[str, Sequence[Outcome]], title: str, note: str) -> Table:
    """Wins, ties and losses against the start, the win rate with its interval, plain and at like length."""
    rates, alike = values_of(arms, WIN_RATE), values_of(arms, LIKE_LENGTH)
    rows = []
    for arm, of_arm in arms.items():
        shares = [f"{np.mean([one.figures[name] for one in of_arm]):.2f}" for name in ("win", "tie", "lose")]
        of_length = [one.figures["length_controlled"] for one in of_arm]
        controlled = f"{np.mean(of_length):.2f}" if None not in of_length else "–"
        rows.append((arm, *shares, _interval(rates, arm), _interval(alike, arm), controlled))
    columns = ("Arm", "Win", "Tie", "Lose", "Win + tie / 2", "of like length", "length-controlled")
    return Table(title, columns, tuple(rows), note=note)


def win_rate_plot(arms: Mapping[str, Sequence[Outcome]], title: str) -> IntervalPlot:
    """Each arm's win rate against the start, of all responses and of those of like length."""
    rows = [
        (f"{arm}{which}", crossed_mean(of_arms[arm]).within(0, 1))
        for arm in arms
        for which, of_arms in (("", values_of(arms, WIN_RATE)), (", of like length", values_of(arms, LIKE_LENGTH)))
        if arm in of_arms
    ]
    caption = "Mean over prompts and seeds with its 95 % interval, seeds and prompts both random; 0.5 is no difference."
    return IntervalPlot(title, "Win rate (win + tie / 2)", tuple(rows), caption, reference=EVEN)


def difference_table(found: Mapping[tuple[str, str], Compared], control: str) -> Table:
    """Each comparison with its interval, the one that holds together with all others, and its corrected p."""
    rows = [
        (arm, figure, f"{one.interval:+.3f}", f"{one.corrected:+.3f}", f"{one.corrected_p:.3f}")
        for (figure, arm), one in found.items()
    ]
    columns = ("Arm", "Figure", "Difference [95 %]", "corrected [95 % of all]", "p, Holm")
    note = f"Paired by seed and prompt; {len(found)} comparisons, corrected together."
    return Table(f"Differences to {control}", columns, tuple(rows), text_columns=2, note=note)


def lines_of(arms: Mapping[str, Sequence[Outcome]], curve: str) -> tuple[Line, ...]:
    """A held-out curve of every arm: at each step the mean over seeds with its interval."""
    lines = []
    for arm, of_arm in arms.items():
        by_step: dict[int, list[float]] = {}
        for one in of_arm:
            for step, value in one.figures["curves"].get(curve, []):
                by_step.setdefault(step, []).append(value)
        if by_step:
            lines.append(
                Line(arm, tuple((float(step), over_seeds(values)) for step, values in sorted(by_step.items())))
            )
    return tuple(lines)


def over_seeds(values: Sequence[float]) -> Interval:
    """The mean over seeds with its t interval; equal bounds for a single one, which has none."""
    return as_drawn(clustered_mean(values, np.arange(len(values))))


def as_drawn(interval: Interval) -> Interval:
    """The interval as a line shows it: equal bounds where it has none."""
    return interval if interval.is_bounded else Interval(interval.value, interval.value, interval.value)


def in_words(found: Mapping[tuple[str, str], Compared], control: str) -> str:
    """What the comparisons of win rates allow to be said, and no more."""
    more, less, open_ones = (
        [arm for (figure, arm), one in found.items() if figure == WIN_RATE and is_one(one)]
        for is_one in (
            lambda one: one.is_more,
            lambda one: one.is_less,
            lambda one: not one.is_more and not one.is_less,
        )
    )
    parts = [
        f"{_listed(more)} win{'s' if len(more) == 1 else ''} more often than {control}" if more else "",
        f"{_listed(less)} win{'s' if len(less) == 1 else ''} less often than {control}" if less else "",
        f"cannot tell {_listed(open_ones)} from {control}" if open_ones else "",
    ]
    said = "; ".join(filter(None, parts)) or "cannot tell: nothing was compared"
    # The name of an arm stays as it is written, at the beginning too.
    return f"{re.sub('^cannot', 'Cannot', said)}."


def _interval(values: Mapping[str, Values], arm: str) -> str:
    return f"{crossed_mean(values[arm]).within(0, 1):.2f}" if arm in values else "–"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
