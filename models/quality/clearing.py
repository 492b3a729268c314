"""Whether an agreement clears a bar, and how many more labels would tell."""

from __future__ import annotations

import math

from models.intervals import CONFIDENCE, Interval, t_quantile

MOST_PROMPTS = 10_000_000


def clears(agreement: Interval | None, bar: float) -> bool:
    """Whether the lower end of the interval is at the bar or above: few labels clear nothing by luck."""
    return agreement is not None and agreement.low >= bar


def interval_at(agreement: Interval, prompts: int, count: int) -> Interval:
    """The interval that `models.intervals.share` would give if `count` prompts had what these `prompts` have.

    Of a share of all or none the spread of the prompts is not known; that of the four that `share` adds is taken.
    """
    middle = (prompts * agreement.value + 2) / (prompts + 4)
    half = max(agreement.high - middle, middle - agreement.low)
    spread = half * math.sqrt(prompts + 4) / t_quantile(CONFIDENCE, prompts + 3)
    new_middle = (count * agreement.value + 2) / (count + 4)
    new_half = t_quantile(CONFIDENCE, count + 3) * spread / math.sqrt(count + 4)
    value = agreement.value
    return Interval(value, max(0.0, min(new_middle - new_half, value)), min(1.0, max(new_middle + new_half, value)))


def prompts_to_clear(agreement: Interval, prompts: int, bar: float) -> int | None:
    """How many prompts it takes in all until the lower end is at the bar, if the agreement stays; None: never."""
    if agreement.value <= bar or not clears(interval_at(agreement, prompts, MOST_PROMPTS), bar):
        return None
    low, high = prompts, MOST_PROMPTS
    while low < high:
        middle = (low + high) // 2
        if clears(interval_at(agreement, prompts, middle), bar):
            high = middle
        else:
            low = middle + 1
    return low
