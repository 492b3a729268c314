"""What answers to pairs with a known answer say of a person. Knows counts alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from models.quality.agreement import share_over_pairs
from models.quality.records import Share

FEWEST_ANSWERS = 5  # before that nobody is told anything: three of four would be no news

Standing = Literal["fine", "warned", "stopped"]


class GoldCount(NamedTuple):
    """Of how many pairs with a known answer a person gave it."""

    answers: int
    right: int


def accuracy(count: GoldCount) -> Share:
    """The share of answers that are right, with a 95 % interval that takes each pair for one observation."""
    hits = np.arange(count.answers) < count.right
    return share_over_pairs(hits.astype(np.int64), np.ones(count.answers, dtype=np.int64))


def standing(count: GoldCount, *, bar: float | None, has_stop: bool) -> Standing:
    """Where a person stands: warned with an accuracy below the bar, stopped if the whole interval is below it.

    Nobody is stopped where `has_stop` is false or there are fewer than `FEWEST_ANSWERS`, and then nobody is warned.
    """
    if bar is None or count.answers < FEWEST_ANSWERS:
        return "fine"
    share = accuracy(count)
    if has_stop and share.high < bar:
        return "stopped"
    return "warned" if share.value is not None and share.value < bar else "fine"
