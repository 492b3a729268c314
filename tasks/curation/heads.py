"""The reward head that the labels so far give, fitted when it is asked for. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.embeddings import EmbedderRecord
from db.engine import Session, batches
from db.labels import embedded_pairs
from db.labels.embedded_pairs import EmbeddedPair
from models.head import MIN_LABELS, Head, fit_head, independence
from tasks.curation.engines import vector_store
from tasks.settings import Settings

Vectors = NDArray[np.float32]
BATCH = 4_096  # pairs whose vectors are read at once


def head_of(session: Session, embedder: EmbedderRecord, settings: Settings) -> Head | None:
    """A head fitted to every standing preference between two responses that this embedder embedded.

    Labels of all runs count; ties, contradictions and pairs of which both are bad do not: they prefer nothing. The
    same labels give the same head. None below 25 labels.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    pairs = embedded_pairs.decided_pairs(session, embedder.id)
    if len(pairs) < MIN_LABELS:
        return None
    return fit_head(differences_of(pairs, embedder, settings), shares_of(pairs), weights_of(pairs))


def differences_of(pairs: Sequence[EmbeddedPair], embedder: EmbedderRecord, settings: Settings) -> Vectors:
    """First embedding minus second, (n, d) float32 of unit embeddings; (0, 0) for no pair.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    differences, start = np.empty((0, 0), dtype=np.float32), 0
    for batch in batches(pairs, BATCH):  # all at once, both sides would take four times as much
        first, second = sides_of(batch, embedder, settings)
        if not start:
            differences = np.empty((len(pairs), first.shape[1]), dtype=np.float32)
        np.subtract(first, second, out=differences[start : start + len(batch)])
        start += len(batch)
    return differences


@dataclass(frozen=True, slots=True)
class StoredDifferences:
    """The differences of pairs, read where they are asked for."""

    pairs: Sequence[EmbeddedPair]
    embedder: EmbedderRecord
    settings: Settings

    def __getitem__(self, places: NDArray[np.int64], /) -> Vectors:
        """Those (k, d) of the pairs at these places.

        Raises:
            BrokenShardError: if a vector is missing or damaged.
        """
        return differences_of([self.pairs[at] for at in places], self.embedder, self.settings)


def sides_of(pairs: Sequence[EmbeddedPair], embedder: EmbedderRecord, settings: Settings) -> tuple[Vectors, Vectors]:
    """The embeddings of both sides, (n, d) float32 each.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    store = vector_store(embedder.key, settings)
    sides = [[pair.first for pair in pairs], [pair.second for pair in pairs]]
    first, second = (
        store.gather([place.shard for place in side], [place.row for place in side]).astype(np.float32)
        for side in sides
    )
    return first, second


def shares_of(pairs: Sequence[EmbeddedPair]) -> NDArray[np.float64]:
    """The share of the votes for the first response of each decided pair, (n,)."""
    supports = np.array([pair.support for pair in pairs], dtype=np.float64)
    return np.where([pair.outcome == "first" for pair in pairs], supports, 1 - supports)


def weights_of(pairs: Sequence[EmbeddedPair]) -> NDArray[np.float64]:
    """How much of a label each decided pair is, (n,): several pairs of the same responses say less."""
    return independence(
        [pair.pair.first_response_id for pair in pairs], [pair.pair.second_response_id for pair in pairs]
    )
