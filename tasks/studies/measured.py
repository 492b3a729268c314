"""Outcomes of one labeller's trials as arrays, and what they say of every arm against `random`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from statistics import median

import numpy as np

from models.intervals import Interval, share
from models.studies.advice import Advice, Evidence, advise, weigh
from models.studies.comparing import Values, crossed_mean
from models.studies.trials import Outcome
from tasks.studies.head_learner import BASELINE

ACCURACY, ALIKE = "accuracy", "accuracy_alike"
WIN_RATE, WIN_RATE_ALIKE = "win_rate", "win_rate_alike"


class Measured:
    """The trials of one labeller, arms beside each other: the same seeds and held-out prompts for all."""

    def __init__(self, outcomes: Sequence[Outcome], annotator: str, budgets: Sequence[int]) -> None:
        """Take the outcomes of a labeller; an arm that lacks a trial is left out.

        Args:
            outcomes: of a study, without failures.
            annotator: whose are taken.
            budgets: at which arms are compared.
        """
        own = [outcome for outcome in outcomes if outcome.trial.annotator == annotator]
        self._by_cell = {(one.trial.arm, one.trial.budget, one.trial.seed): one for one in own}
        self.annotator = annotator
        self.seeds = sorted({one.trial.seed for one in own})
        self.counts = sorted({one.trial.budget for one in own})
        self.budgets = [budget for budget in sorted(budgets) if budget in self.counts]
        self.arms = [arm for arm in dict.fromkeys(one.trial.arm for one in own) if self._is_whole(arm)]
        self._curves: dict[tuple[str, str], Values] = {}

    @property
    def is_comparable(self) -> bool:
        """Whether there is something to compare with `random`."""
        return BASELINE in self.arms and len(self.arms) > 1 and len(self.counts) > 1 and bool(self.budgets)

    @property
    def rivals(self) -> list[str]:
        """The arms that are compared with `random`."""
        return [arm for arm in self.arms if arm != BASELINE]

    @property
    def figures(self) -> list[str]:
        """The names of what was measured on some prompt."""
        names = self._any.figures["by_prompt"]
        return [name for name in names if not np.isnan(self.curve(BASELINE, name)).all()]

    def curve(self, arm: str, figure: str) -> Values:
        """(counts, seeds, prompts) of a figure; NaN where a prompt has none."""
        if (arm, figure) not in self._curves:
            rows = [
                [self._by_cell[arm, count, seed].figures["by_prompt"][figure] for seed in self.seeds]
                for count in self.counts
            ]
            self._curves[arm, figure] = np.array(rows, dtype=np.float64)
        return self._curves[arm, figure]

    def level(self, arm: str, count: int, figure: str) -> Interval:
        """The mean of a share of an arm with so many labels, its interval cut to [0, 1]."""
        return crossed_mean(self.curve(arm, figure)[self.counts.index(count)]).within(0, 1)

    @cached_property
    def evidence(self) -> dict[tuple[str, int], Evidence]:
        """What each arm gains over `random` and saves at each budget, corrected for all arms and budgets."""
        accuracy, alike = ({arm: self.curve(arm, figure) for arm in self.arms} for figure in (ACCURACY, ALIKE))
        found = weigh(accuracy, alike, self.counts, self.budgets)
        return {(each.strategy, each.budget): each for each in found}

    @cached_property
    def advice(self) -> Advice:
        """What the evidence allows to recommend."""
        return advise(list(self.evidence.values()), seeds=len(self.seeds), prompts=self.held_out_prompts)

    @cached_property
    def longer_wins(self) -> Interval:
        """How often the longer response of a held-out pair is the better one, without a label."""
        values = np.array(self._any.figures["longer_wins"], dtype=np.float64)
        known = values[~np.isnan(values)]
        return share(known, np.arange(len(known)))

    def selection_ms(self, arm: str) -> float | None:
        """Milliseconds that an arm's selection takes for 1,000 prompts, the median; None where it asks labels."""
        found = [one.figures["selection_ms"] for (name, *_), one in self._by_cell.items() if name == arm]
        known = [value for value in found if value is not None]
        return median(known) if known else None

    def decided_share(self, arm: str) -> float:
        """The share of an arm's labels that prefer a side."""
        own = [(one.figures["decided"], count) for (name, count, _), one in self._by_cell.items() if name == arm]
        return float(sum(decided for decided, _ in own) / sum(count for _, count in own))

    def size(self, name: str) -> int:
        """A number that is the same for all trials."""
        return int(self._any.figures[name])

    @property
    def held_out_prompts(self) -> int:
        """How many prompts are measured on."""
        return len(self._any.figures["longer_wins"])

    @property
    def _any(self) -> Outcome:
        return next(iter(self._by_cell.values()))

    def _is_whole(self, arm: str) -> bool:
        return all((arm, count, seed) in self._by_cell for count in self.counts for seed in self.seeds)
