"""In what order people meet the pairs of a queue, by what is expected of them. Knows neither texts nor the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from models.labelling.records import PairKey

QueueOrder = Literal["shuffled", "uncertain", "easiest"]
UNKNOWN = 0.5


def in_order(pairs: Sequence[PairKey], order: QueueOrder, probabilities: Mapping[PairKey, float]) -> list[PairKey]:
    """The pairs as people are to meet them; pairs alike in that keep the order in which they come here.

    `uncertain`: the nearest to one half first, by a probability that is a mean over all that the labels leave open, so
    that what little is known of counts as near one half too (MacKay 1992). `easiest`: the same backwards. A pair of
    which nothing is expected is as uncertain as can be: first in the one, last in the other.

    Args:
        pairs: shuffled.
        order: which order.
        probabilities: that the pair's first response is preferred, 0 to 1; pairs may be missing.
    """
    if order == "shuffled":
        return list(pairs)
    sign = 1 if order == "uncertain" else -1
    return sorted(pairs, key=lambda pair: sign * abs(probabilities.get(pair, UNKNOWN) - UNKNOWN))
