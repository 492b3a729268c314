"""What labels on other prompts expect of the pairs that are labelled: what a label says is never asked of itself.

Knows no Prefect.
"""

from __future__ import annotations

import numpy as np

from db import embeddings
from db.engine import Session
from db.labels import embedded_pairs
from models.head import MIN_LABELS, fit_head
from models.labelling.records import PairKey
from models.vectors import BrokenShardError
from tasks.curation.heads import differences_of, shares_of, weights_of
from tasks.progress import say
from tasks.settings import Settings

FOLDS = 5


def expected_by_others(session: Session, run_id: int, settings: Settings) -> dict[PairKey, float]:
    """How probably the first response of each labelled pair is preferred, by the labels of other prompts alone.

    Prompts that begin alike are one fold of five, and the head that is asked of a fold is fitted to the other four.
    Empty where those hold fewer than 25 labels, where the run has embedded nothing, and, with a line that says so,
    where vectors are damaged. The same labels give the same figures.

    Args:
        session: of the database.
        run_id: of a curation, whose embedder counts.
        settings: where the vectors lie.
    """
    try:
        embedder = embeddings.embedder_of_run(session, run_id)
    except LookupError:
        return {}
    pairs = embedded_pairs.decided_pairs(session, embedder.id)
    if len(pairs) <= MIN_LABELS:
        return {}
    try:
        differences = differences_of(pairs, embedder, settings)
    except BrokenShardError as error:
        say(f"labels are not held against one another: {error}")
        return {}
    shares, weights = shares_of(pairs), weights_of(pairs)
    place = {dialogue: at for at, dialogue in enumerate(sorted({pair.dialogue for pair in pairs}))}
    folds = np.array([place[pair.dialogue] % FOLDS for pair in pairs])
    expected: dict[PairKey, float] = {}
    for fold in range(FOLDS):
        own = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold)
        if len(others) < MIN_LABELS or not len(own):
            continue
        head = fit_head(differences[others], shares[others], weights[others])
        found = head.probabilities(differences[own], np.zeros_like(differences[own]))
        expected |= {pairs[at].pair: float(mean) for at, mean in zip(own, found.mean, strict=True)}
    return expected
