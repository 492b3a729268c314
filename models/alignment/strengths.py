"""What the strength of a preference becomes in training: a weight or a margin. Knows no loss and no text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def strength_weights(strengths: Sequence[float | None]) -> list[float]:
    """Each strength over the mean of those that are known; 1 where none is known: the weights' mean is 1.

    A mean of 1 keeps the step as long as without weights, as LD-Align's s / S does.
    """
    known = [strength for strength in strengths if strength is not None]
    mean = fmean(known) if known else 1.0
    return [1.0 if strength is None else strength / mean for strength in strengths]


def strength_margins(strengths: Sequence[float | None]) -> list[float]:
    """The strengths as they are, in units of the reward: 1 where clearly, 0 where nobody said.

    That is the smaller of the two scales that Llama 2 tried (arXiv 2307.09288, table 27).
    """
    return [0.0 if strength is None else strength for strength in strengths]
