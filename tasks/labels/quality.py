"""How far the labels of a run can be trusted, read from the database. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from db import pairs as stored_pairs
from db.engine import Session
from db.labels import judgements, labelling
from models.quality.quality import LabelQuality, label_quality
from tasks.curation.strategies import check_names
from tasks.database import open_database
from tasks.labels.out_of_fold import expected_by_others
from tasks.settings import Settings

SIMILARITY_BINS = 4
SUSPECTS = 10


def quality_of_run(run_id: int, *, strategies: Sequence[str], settings: Settings) -> LabelQuality:
    """Agreement, biases and suspects over the pairs of a run."""
    with open_database(settings) as sessions, sessions() as session:
        return read_quality(session, run_id, settings, strategies=strategies)


def read_quality(session: Session, run_id: int, settings: Settings, *, strategies: Sequence[str] = ()) -> LabelQuality:
    """The same within a session.

    Raises:
        LookupError: If no strategy has one of the names.
    """
    check_names(session, run_id, strategies)
    pairs = labelling.labelled_pairs(session, run_id, strategies=strategies)
    records = judgements.judgements_on(session, [pair.pair for pair in pairs])
    annotators = judgements.annotators(session, {judgement.annotator_id for judgement in records})
    quality = label_quality(
        pairs,
        records,
        list(annotators.values()),
        bins=SIMILARITY_BINS,
        suspect_count=SUSPECTS,
        expected=expected_by_others(session, run_id, settings) if records else {},
    )
    rates = stored_pairs.strategy_rates(session, run_id) if records else []
    return replace(quality, rates=tuple(row for row in rates if not strategies or row.strategy in strategies))
