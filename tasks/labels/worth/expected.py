"""What the labels so far let expect of a run's pairs, by a reward head fitted when it is asked. Knows no Prefect."""

from __future__ import annotations

from db import embeddings
from db.engine import Session
from db.labels import embedded_pairs
from db.labels.predictions import Prediction
from models.labelling.records import PairKey
from tasks.curation.heads import head_of
from tasks.labels.worth.label_worth import predict
from tasks.settings import Settings


def expected_preferences(session: Session, run_id: int, settings: Settings) -> dict[PairKey, Prediction] | None:
    """What a head fitted to all labels expects of each pair of a curation run that its embedder embedded.

    None below 25 labels between responses that this embedder embedded, or where the run has embedded nothing.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    try:
        embedder = embeddings.embedder_of_run(session, run_id)
    except LookupError:
        return None
    head = head_of(session, embedder, settings)
    if head is None:
        return None
    pairs = embedded_pairs.pairs_of_run(session, run_id, embedder.id)
    return {prediction.pair: prediction for prediction in predict(head, pairs, embedder, settings)}


def expected_probabilities(session: Session, run_id: int, settings: Settings) -> dict[PairKey, float]:
    """The same as the probability that the first of a pair is preferred; empty where nothing is expected.

    Raises:
        BrokenShardError: if a vector is missing or damaged.
    """
    expected = expected_preferences(session, run_id, settings) or {}
    return {pair: one.probability for pair, one in expected.items()}
