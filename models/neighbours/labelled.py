"""Pairs that differ as a labelled pair does: what a label on them would teach is known already, nearly.

A pair is the difference of its two unit vectors, which is what a reward that is linear in the embedding sees of it; its
sign depends on the order alone, so that the absolute cosine counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.index import VectorIndex


class LabelledDifferences:
    """The differences of labelled pairs, found again by direction."""

    def __init__(self, blocks: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]]) -> None:
        """Take labelled pairs: ids (n,), and the vectors (n, d) of their two responses; 4 × d bytes a pair are held.

        A pair of two equal vectors has no difference and is like none.
        """
        kept = _different(blocks)
        first = next(kept, None)
        self._index = None if first is None else VectorIndex.build(chain([first], kept))

    def nearest(self, first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The labelled pair most like each pair, and how much: ids (n,), absolute cosines (n,) from 0 to 1.

        Of equally similar ones the lowest id; id -1 and 0 where there is no labelled pair or no difference.

        Args:
            first: (n, d) vectors of the pairs' first responses.
            second: (n, d) of their second ones.
        """
        differences = _differences(first, second)
        ids = np.full(len(differences), -1, dtype=np.int64)
        similarities = np.zeros(len(differences), dtype=np.float32)
        rows = np.flatnonzero((differences != 0).any(axis=1))
        if self._index is None or not len(rows):
            return ids, similarities
        for sign in (1, -1):
            found, cosines = (part[:, 0] for part in self._index.search(sign * differences[rows], 1, exclude=None))
            is_nearer = (cosines > similarities[rows]) | ((cosines == similarities[rows]) & (found < ids[rows]))
            ids[rows[is_nearer]], similarities[rows[is_nearer]] = found[is_nearer], cosines[is_nearer]
        return ids, np.minimum(similarities, 1)


def _different(
    blocks: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    for ids, first, second in blocks:
        differences = _differences(first, second)
        is_different = (differences != 0).any(axis=1)
        if is_different.any():
            yield np.asarray(ids, dtype=np.int64)[is_different], differences[is_different]


def _differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float32]:
    difference: NDArray[np.float32] = np.asarray(first, dtype=np.float32) - np.asarray(second, dtype=np.float32)
    return difference
