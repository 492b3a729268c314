"""What a pilot recommends: select, do not trouble, length explains it, or it cannot be told, and what telling takes.

Every sentence follows from intervals that are corrected for all strategies and budgets that were tried. That nothing
was found is never said to be nothing: that takes an interval which leaves no room for a gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.intervals import CONFIDENCE, Interval, t_quantile
from models.studies.comparing import Compared, Crossed, compared, crossed, difference, paired
from models.studies.savings import Saving, savings, worth_of_more

BASELINE, BY_LENGTH = "random", "longest_gap"
MARGIN = 0.02  # of accuracy: two more of 100 held-out pairs right are worth the trouble of selecting
TOLD_SAVING = 1.25  # random needs so many times the labels: what more data should be able to tell
_MOST_SEEDS, _MOST_DOUBLINGS = 1_000, 10

Verdict = Literal["select", "not worth it", "length", "cannot tell"]
Curve = NDArray[np.float64]


class Evidence(NamedTuple):
    """What a strategy gains over random with a budget.

    Attributes:
        strategy: its name.
        budget: labels of both.
        gain: in the share of held-out pairs that a head is right about.
        gain_alike: the same among pairs of like length; None where none is held out.
        saving: labels that random needs ÷ labels that the strategy needs.
        over_length: its accuracy less that of `longest_gap`, 95 %; None where that was not tried.
        spread: of the gain: what of its uncertainty is of seeds, what of prompts.
        worth: what 1.25 times as many labels add to random's accuracy, on average over what was tried.
    """

    strategy: str
    budget: int
    gain: Compared
    gain_alike: Compared | None
    saving: Saving
    over_length: Interval | None
    spread: Crossed
    worth: float


class Needs(NamedTuple):
    """What it takes to tell a saving of 1.25: so many seeds, and so many held-out prompts."""

    seeds: int
    prompts: int


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation.

    Attributes:
        verdict: what it comes to.
        strategy: that it speaks of; empty where it speaks of all.
        words: the paragraph.
        needs: to tell a saving of 1.25 at the budget that is spoken of; None where nothing more is to be told, or no
            number within reason would do.
    """

    verdict: Verdict
    strategy: str
    words: str
    needs: Needs | None = None


def weigh(
    accuracy: Mapping[str, Curve], alike: Mapping[str, Curve], counts: Sequence[int], budgets: Sequence[int]
) -> list[Evidence]:
    """What every strategy gains over random at every budget, corrected for how many comparisons these are.

    Differences at all pairs and those at like length are two families, each corrected for strategies × budgets.

    Args:
        accuracy: strategy, `random` among them → (counts, seeds, prompts).
        alike: the same among pairs of like length, NaN for a prompt without any.
        counts: numbers of labels, rising.
        budgets: of these, the ones to speak of.

    Raises:
        ValueError: if `random` is not there, or shapes do not fit.
    """
    if BASELINE not in accuracy:
        raise ValueError(f"strategies are compared with {BASELINE}, got {', '.join(accuracy) or 'none'}; add it")
    arms = [arm for arm in accuracy if arm != BASELINE]
    cells = [(arm, budget) for budget in budgets for arm in arms]
    at = {budget: list(counts).index(budget) for budget in budgets}
    gains = compared({cell: _beside(accuracy, cell, at) for cell in cells})
    like = {cell: _beside(alike, cell, at) for cell in cells if cell[0] in alike}
    gains_alike = compared({cell: pair for cell, pair in like.items() if not np.isnan(paired(*pair)).all()})
    saved = savings({arm: accuracy[arm] for arm in arms}, accuracy[BASELINE], counts, budgets)
    worth = worth_of_more(accuracy[BASELINE], counts, TOLD_SAVING)
    found = []
    for arm, budget in cells:
        over = None
        if BY_LENGTH in accuracy and arm != BY_LENGTH:
            over = difference(accuracy[arm][at[budget]], accuracy[BY_LENGTH][at[budget]])
        cell = arm, budget
        spread = crossed(paired(*_beside(accuracy, cell, at)))
        found.append(Evidence(arm, budget, gains[cell], gains_alike.get(cell), saved[cell], over, spread, worth))
    return found


def advise(evidence: Sequence[Evidence], *, seeds: int, prompts: int, margin: float = MARGIN) -> Advice:
    """The recommendation that the evidence allows.

    Args:
        evidence: as `weigh` gives it.
        seeds: that were tried.
        prompts: that were held out.
        margin: of accuracy: a gain below it is not worth the trouble.

    Raises:
        ValueError: if there is no evidence.
    """
    if not evidence:
        raise ValueError("no strategy was compared with random; name one or more")
    tried = len(evidence)
    if all(each.gain.corrected.high < margin for each in evidence):
        return Advice("not worth it", "", _not_worth_words(evidence, margin))
    gaining = sorted(
        (each for each in evidence if each.gain.is_more and each.gain.corrected.high >= margin),
        key=lambda each: each.gain.corrected_p,
    )
    for each in gaining:
        if _is_beyond_length(each, margin):
            return Advice("select", each.strategy, _select_words(each, tried))
    rivals = {each.budget: each for each in evidence if each.strategy == BY_LENGTH}
    for each in gaining:
        if why := _why_length(each, rivals.get(each.budget), margin):
            return Advice("length", each.strategy, f"Length explains it: {_gain_words(each, tried)} {why}")
    if gaining:
        return Advice("cannot tell", gaining[0].strategy, _length_unknown_words(gaining[0], tried))
    each = _closest(evidence)
    sized = needs(each.spread, each.worth, seeds=seeds, prompts=prompts, tried=tried)
    return Advice("cannot tell", "", _cannot_tell_words(each, sized, seeds, prompts), sized)


def needs(spread: Crossed, effect: float, *, seeds: int, prompts: int, tried: int = 1) -> Needs | None:
    """The seeds and held-out prompts with which the corrected half-width of a difference falls to `effect`.

    Half-widths fall with the square root; with more seeds Student's t falls too. Seeds are raised first, since a seed
    costs no label that is not there already, then prompts are doubled. None where 1,000 seeds and 1,024 times the
    prompts do not do.

    Args:
        spread: of the difference so far.
        effect: that shall be told from none, above 0.
        seeds: tried so far.
        prompts: held out so far.
        tried: how many comparisons are corrected for together.
    """
    if effect <= 0 or seeds < 2 or prompts < 2:
        return None
    of_prompts, of_seeds = spread.variance - spread.of_seeds, spread.variance - spread.of_prompts
    of_cells = spread.variance - of_prompts - of_seeds
    confidence = 1 - (1 - CONFIDENCE) / tried
    for doubling in range(_MOST_DOUBLINGS + 1):
        more = 2**doubling
        for count in range(seeds, max(seeds, _MOST_SEEDS) + 1):
            times = count / seeds
            variance = of_seeds / times + of_prompts / more + of_cells / (times * more)
            degrees = min(count, prompts * more) - 1
            if t_quantile(confidence, degrees) * math.sqrt(max(variance, 0.0)) <= effect:
                return Needs(count, prompts * more)
    return None


def _beside(curves: Mapping[str, Curve], cell: tuple[str, int], at: Mapping[int, int]) -> tuple[Curve, Curve]:
    arm, budget = cell
    return curves[arm][at[budget]], curves[BASELINE][at[budget]]


def _is_beyond_length(each: Evidence, margin: float) -> bool:
    """Whether it surely gains among pairs of like length, and perhaps as much as is worth the trouble."""
    alike = each.gain_alike
    return alike is not None and alike.is_more and alike.corrected.high >= margin


def _why_length(each: Evidence, rival: Evidence | None, margin: float) -> str:
    """Why the gain is one of length, a sentence; empty where that is not shown.

    Not asked of a gain that surely stands among pairs of like length, and may be worth its trouble there.
    """
    if each.gain_alike is not None and each.gain_alike.corrected.high < margin:
        return (
            f"Among pairs of like length it gains less than {_number(100 * margin)} points: "
            f"{_points(each.gain_alike.interval, each.gain_alike.corrected)}."
        )
    if each.strategy == BY_LENGTH:
        return f"`{BY_LENGTH}` reads no response: its labels teach what the annotator thinks of length."
    over = each.over_length
    if rival is not None and rival.gain.is_more and over is not None and (over.value <= 0 or over.high < margin):
        return (
            f"`{BY_LENGTH}`, which reads no response, gains as much: {_points(rival.gain.interval)} "
            f"(`{each.strategy}` less `{BY_LENGTH}`: {_points(over)})."
        )
    return ""


def _closest(evidence: Sequence[Evidence]) -> Evidence:
    """The strategy and budget that came closest to a gain."""
    return min(evidence, key=lambda each: (each.gain.interval.value <= 0, each.gain.p_value))


def _gain_words(each: Evidence, tried: int) -> str:
    return (
        f"with {each.budget:,} labels chosen by `{each.strategy}`, "
        f"{_points(each.gain.interval, each.gain.corrected, tried)} more of 100 held-out pairs are judged right than "
        f"with as many random ones."
    )


def _select_words(each: Evidence, tried: int) -> str:
    assert each.gain_alike is not None  # it is beyond length
    return (
        f"Select by `{each.strategy}`: {_gain_words(each, tried)} Random needs {each.saving.value_words} times the "
        f"labels for the same (95 % {_bounds(each.saving)}). It is not length alone: among pairs of like length the "
        f"gain is {_points(each.gain_alike.interval, each.gain_alike.corrected)}."
    )


def _not_worth_words(evidence: Sequence[Evidence], margin: float) -> str:
    most = max(evidence, key=lambda each: each.gain.corrected.high)
    return (
        f"Selection is not worth its trouble here: no strategy gains {_number(100 * margin)} points over random, at no "
        f"budget that was tried; the most that is left open is {_number(100 * most.gain.corrected.high)} points "
        f"(`{most.strategy}`, {most.budget:,} labels, corrected for {len(evidence)} comparisons)."
    )


def _length_unknown_words(each: Evidence, tried: int) -> str:
    alike = "no pair of like length is held out"
    if each.gain_alike is not None:
        points = _points(each.gain_alike.interval, each.gain_alike.corrected)
        alike = f"among pairs of like length the gain is {points}"
    return (
        f"Cannot tell whether it is more than length: {_gain_words(each, tried)} Random needs "
        f"{each.saving.value_words} times the labels for the same (95 % {_bounds(each.saving)}), but {alike}. Hold out "
        f"more prompts to tell."
    )


def _cannot_tell_words(each: Evidence, sized: Needs | None, seeds: int, prompts: int) -> str:
    start = (
        f"Cannot tell: no strategy is shown to gain over random, and a gain is not ruled out. Closest is "
        f"`{each.strategy}` with {each.budget:,} labels: {_points(each.gain.interval, each.gain.corrected)}, a saving "
        f"of {each.saving.words}. "
    )
    if each.worth <= 0:
        return start + (
            "Random labels teach nothing that can be seen here, so that no saving could be told: use another encoder, "
            "or more labels."
        )
    aim = f"a saving of {TOLD_SAVING:g} ({_number(100 * each.worth, 2)} points here)"
    if sized is None:
        return start + f"To tell {aim} would take more data than is within reason."
    return start + (
        f"To tell {aim} would take about {sized.seeds:,} seeds (now {seeds:,}) and {sized.prompts:,} held-out prompts "
        f"(now {prompts:,})."
    )


def _points(interval: Interval, corrected: Interval | None = None, tried: int = 0) -> str:
    """A difference of shares in points, with its interval or with the corrected one in its place."""
    value, low, high = interval if corrected is None else (interval.value, corrected.low, corrected.high)
    bounds = f"{_number(100 * low)}, {_number(100 * high)}" if math.isfinite(high - low) else "no interval"
    said = f"{_number(100 * value)} [{bounds}]"
    if corrected is None:
        return said
    return f"{said} (corrected for {tried} comparisons)" if tried else f"{said} (corrected)"


def _bounds(saved: Saving) -> str:
    words = saved.words
    return words[words.index("[") :]


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}".replace("-", "−")
