"""What labels on other prompts expect of the pairs that are labelled: what a label says is never asked of itself.

Knows no Prefect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db import embeddings
from db.embeddings import EmbedderRecord
from db.engine import Session
from db.labels import embedded_pairs
from db.labels.embedded_pairs import EmbeddedPair
from models.head import MIN_LABELS, drawn, fit_head
from models.labelling.records import PairKey
from models.vectors import BrokenShardError
from tasks.curation.heads import differences_of, shares_of, weights_of
from tasks.labels.worth.label_worth import predict
from tasks.progress import say
from tasks.settings import Settings

FOLDS = 5
MOST_TEACHERS = 2_000  # labels: every report fits five heads, which take 2 s of a core together
AXES = 64  # for the side of a margin more are no better


def expected_by_others(session: Session, run_id: int, settings: Settings) -> dict[PairKey, float]:
    """How probably the first response of each labelled pair of a run is preferred, by labels of other prompts alone.

    Prompts that begin alike are one fold of five, and the head that is asked of a fold is fitted to the other four, of
    all runs with the run's embedder: to all labels up to `MOST_TEACHERS`, else to so many, drawn by prompt. Empty where
    those hold fewer than 25 labels, where the run has embedded nothing, and, with a line that says so, where vectors
    are damaged. The same labels give the same figures.

    Args:
        session: of the database.
        run_id: of a curation.
        settings: where the vectors lie.
    """
    try:
        embedder = embeddings.embedder_of_run(session, run_id)
    except LookupError:
        return {}
    teachers = embedded_pairs.decided_pairs(session, embedder.id)
    if len(teachers) <= MIN_LABELS:
        return {}
    asked = embedded_pairs.pairs_of_run(session, run_id, embedder.id, is_decided=True)
    place = {dialogue: at for at, dialogue in enumerate(sorted({pair.dialogue for pair in teachers}))}
    which = drawn(np.array([place[pair.dialogue] for pair in teachers]), MOST_TEACHERS, 0)
    teachers = [teachers[at] for at in which]
    try:
        return _cross_fitted(teachers, _folds(teachers, place), asked, _folds(asked, place), (embedder, settings))
    except BrokenShardError as error:
        say(f"labels are not held against one another: {error}")
        return {}


def _folds(pairs: Sequence[EmbeddedPair], place: dict[str, int]) -> NDArray[np.int64]:
    return np.array([place[pair.dialogue] % FOLDS for pair in pairs], dtype=np.int64)


def _cross_fitted(
    teachers: Sequence[EmbeddedPair],
    folds: NDArray[np.int64],
    asked: Sequence[EmbeddedPair],
    asked_folds: NDArray[np.int64],
    vectors: tuple[EmbedderRecord, Settings],
) -> dict[PairKey, float]:
    """What a head of the teachers of all other folds says of those that are asked, fold by fold."""
    differences = differences_of(teachers, *vectors)
    shares, weights = shares_of(teachers), weights_of(teachers)
    expected: dict[PairKey, float] = {}
    for fold in range(FOLDS):
        own = [asked[at] for at in np.flatnonzero(asked_folds == fold)]
        others = np.flatnonzero(folds != fold)
        if len(others) >= MIN_LABELS and own:
            head = fit_head(differences[others], shares[others], weights[others], axis_count=AXES)
            expected |= {one.pair: one.probability for one in predict(head, own, *vectors)}
    return expected
