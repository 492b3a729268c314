"""How the gate judges: each look at an opponent gets a share of one 5 %, so that it may be asked any number of times.

A look is a comparison of some policy with the opponent. Knows no database and no comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.intervals import Interval, share_at

ALPHA = 0.05  # the chance of ever letting in a policy that is no better than its opponent, over all looks at it
EVEN = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an opponent: its number from 1, the (one-sided) level it is judged at, the gate's own interval."""

    number: int
    level: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether the whole interval lies above one half."""
        return self.low > EVEN

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval lies below one half."""
        return self.high < EVEN

    @property
    def words(self) -> str:
        """The interval and the level, as every report shows them."""
        return f"{self.low:.3f} to {self.high:.3f} (look {self.number}, judged at {level_words(self.level)})"


def level_of(number: int) -> float:
    """α / (k (k + 1)) for look k = 1, 2, …; these levels sum to α over all looks that there will ever be.

    By Bonferroni's inequality some true null hypothesis is rejected with a chance of at most α, however the looks
    depend on each other and whenever one stops. The first look gets α / 2, which is the plain 95 % interval.
    """
    return ALPHA / (number * (number + 1))


def level_words(level: float) -> str:
    """A level in percent."""
    return f"{100 * level:.2g} %"


def judged(number: int, rate: Interval, prompt_count: int) -> Look:
    """Look `number` at an opponent, which found this win rate (a `share` with its 95 % interval) on so many prompts."""
    level = level_of(number)
    _, low, high = share_at(rate, prompt_count, confidence=1 - 2 * level)
    return Look(number, level, low, high)
