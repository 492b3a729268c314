"""Which pairs of a queue several people judge. Knows neither texts nor the database."""

from __future__ import annotations

import random
from collections.abc import Sequence

from models.labelling.records import PairKey


def overlapping(pairs: Sequence[PairKey], share: float, seed: int) -> set[PairKey]:
    """The pairs that several people judge: a share of all, drawn by the seed.

    A larger share of the same pairs holds the smaller one. The draw is another than that of the order.

    Raises:
        ValueError: If the share is not above 0 and up to 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of pairs that several people judge must be above 0 and up to 1, got {share}")
    drawn = sorted(pairs)
    random.Random(f"overlap {seed}").shuffle(drawn)
    return set(drawn[: round(share * len(drawn))])
