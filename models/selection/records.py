"""What a selection gives: a pair for each prompt, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.selection.similarity import Float32s


class Reason(IntEnum):
    """Why a group has no pair; `SelectedPairs.reason` holds these codes."""

    PAIR_CHOSEN = 0
    NO_CANDIDATE = 1
    ONE_CANDIDATE = 2
    NO_USABLE_EMBEDDING = 3
    ONE_USABLE_EMBEDDING = 4
    ALL_IDENTICAL = 5
    NO_FURTHER_PAIR = 6

    @property
    def text(self) -> str:
        """The reason in words; empty where a pair was chosen."""
        return "" if self is Reason.PAIR_CHOSEN else _REASON_TEXTS[self]


_REASON_TEXTS = {
    Reason.NO_CANDIDATE: "no candidate",
    Reason.ONE_CANDIDATE: "one candidate",
    Reason.NO_USABLE_EMBEDDING: "no embedding is finite and non-zero",
    Reason.ONE_USABLE_EMBEDDING: "one embedding is finite and non-zero",
    Reason.ALL_IDENTICAL: "all candidates identical",
    Reason.NO_FURTHER_PAIR: "no further pair",
}


@dataclass(frozen=True, slots=True)
class SelectedPairs:
    """The pair chosen in each of g groups, or why there is none.

    Attributes:
        first: (g,) int64, a row number into the embeddings; −1 where the group has no valid pair.
        second: (g,) int64, always above `first` where there is a pair; −1 where there is none.
        similarity: (g,) float32, cosine of the pair in [−1, 1]; NaN where there is none.
        reason: (g,) uint8, codes of `Reason`; 0 where a pair was chosen.
        rank: (g,) int32, 1 + the number of the group's valid pairs that are strictly less similar than the chosen one
            (by over 4e-6): 1 for the least similar; 0 where there is none.
        pair_count: (g,) int32, the number of valid pairs in the group.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: Float32s
    reason: NDArray[np.uint8]
    rank: NDArray[np.int32]
    pair_count: NDArray[np.int32]

    @property
    def has_pair(self) -> NDArray[np.bool_]:
        """(g,) bool: whether the group has a pair."""
        return self.first >= 0


def nothing_selected(sizes: NDArray[np.int64]) -> SelectedPairs:
    """No pair in any of the groups of (g,) sizes."""
    groups = len(sizes)
    return SelectedPairs(
        first=np.full(groups, -1, np.int64),
        second=np.full(groups, -1, np.int64),
        similarity=np.full(groups, np.nan, np.float32),
        reason=np.where(sizes == 0, Reason.NO_CANDIDATE, Reason.ONE_CANDIDATE).astype(np.uint8),
        rank=np.zeros(groups, np.int32),
        pair_count=np.zeros(groups, np.int32),
    )
