"""What a run's labels are worth, and what its unlabelled pairs are expected to say. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db import embeddings
from db.embeddings import EmbedderRecord
from db.engine import Session
from db.labels import embedded_pairs, predictions
from db.labels.embedded_pairs import EmbeddedPair
from db.labels.predictions import Prediction
from models.head import Head, Labels, Worth, label_worth, win_probability
from tasks.curation.heads import BATCH, StoredDifferences, head_of, shares_of, sides_of, weights_of
from tasks.curation.strategies import check_names
from tasks.database import open_database
from tasks.settings import Settings


def worth_of_run(run_id: int, *, strategies: Sequence[str], seed: int, settings: Settings) -> Worth:
    """What the labels on a run's pairs are worth.

    Args:
        run_id: a curation.
        strategies: only pairs of these; empty: of all.
        seed: of the splits that labels are held out by.
        settings: where the database and the vectors are.

    Raises:
        LookupError: if the run has embedded nothing, or no strategy has one of the names.
        BrokenShardError: if a vector is missing or damaged.
    """
    with open_database(settings) as sessions, sessions() as session:
        check_names(session, run_id, strategies)
        return read_worth(session, run_id, settings, strategies=strategies, seed=seed)


def read_worth(
    session: Session, run_id: int, settings: Settings, *, strategies: Sequence[str] = (), seed: int = 0
) -> Worth:
    """The same within a session."""
    embedder = embeddings.embedder_of_run(session, run_id)
    pairs = embedded_pairs.pairs_of_run(session, run_id, embedder.id, is_decided=True)
    selected_by = embedded_pairs.strategies_of_pairs(session, run_id) if pairs else {}
    if strategies:
        pairs = [pair for pair in pairs if not selected_by[pair.pair].isdisjoint(strategies)]
    names = sorted(
        name
        for name in set[str]().union(*(selected_by[pair.pair] for pair in pairs))
        if not strategies or name in strategies
    )
    masks = {name: np.array([name in selected_by[pair.pair] for pair in pairs]) for name in names}
    return label_worth(_labels(pairs, embedder, settings), _length_gaps(pairs), masks, seed=seed)


def predict_run(run_id: int, settings: Settings) -> int | None:
    """Store what a head of all labels expects of the run's pairs without one, in the place of what was there before.

    Returns:
        Of how many pairs; None where there are fewer than 25 labels, and then nothing stays stored.

    Raises:
        LookupError: if the run has embedded nothing.
        BrokenShardError: if a vector is missing or damaged.
    """
    with open_database(settings) as sessions:
        with sessions() as session:
            embedder = embeddings.embedder_of_run(session, run_id)
            head = head_of(session, embedder, settings)
            pairs = embedded_pairs.pairs_of_run(session, run_id, embedder.id)
        unlabelled = [pair for pair in pairs if pair.outcome is None]
        found = [] if head is None else predict(head, unlabelled, embedder, settings)
        with sessions.begin() as session:
            predictions.forget_predictions(session, run_id)
            predictions.store_predictions(session, run_id, found)
    return None if head is None else len(found)


def predict(
    head: Head, pairs: Sequence[EmbeddedPair], embedder: EmbedderRecord, settings: Settings
) -> list[Prediction]:
    """What a head expects of these pairs, in their order.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    found = []
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        margins = head.compare(*sides_of(batch, embedder, settings))
        rows = zip(batch, *win_probability(margins), *margins, strict=True)
        for pair, *figures in rows:
            chance, low, high, margin, deviation = map(float, figures)
            first_id, second_id = pair.pair
            found.append(Prediction(first_id, second_id, chance, low, high, margin, deviation, head.label_count))
    return found


def _labels(pairs: Sequence[EmbeddedPair], embedder: EmbedderRecord, settings: Settings) -> Labels:
    numbers: dict[str, int] = {}
    dialogues = np.array([numbers.setdefault(pair.dialogue, len(numbers)) for pair in pairs], dtype=np.int64)
    return Labels(StoredDifferences(pairs, embedder, settings), shares_of(pairs), weights_of(pairs), dialogues)


def _length_gaps(pairs: Sequence[EmbeddedPair]) -> NDArray[np.float64]:
    return np.array([pair.first_length - pair.second_length for pair in pairs], dtype=np.float64)
