"""How far the labels of a run can be trusted, read from the database. Knows no Prefect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from db import pairs as stored_pairs
from db.engine import Session
from db.labels import judgements, labelling, preferences, queues
from models.labelling.rules import STANDING_RULE
from models.quality.quality import LabelQuality, label_quality
from tasks.curation.strategies import check_names
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.labels.worth.out_of_fold import expected_by_others
from tasks.settings import Settings

SIMILARITY_BINS = 4
SUSPECTS = 10


@dataclass(frozen=True, slots=True)
class SecondLook:
    """A queue of pairs that are worth another look. `name`: that of an older queue, where it held just these pairs."""

    queue_id: int
    name: str
    pairs: int
    judgements_per_pair: int


def queue_second_look(run_id: int, name: str, *, strategies: Sequence[str], settings: Settings) -> SecondLook:
    """Put every suspect pair of a run, and every one whose votes contradict each other, into a queue for people.

    Each waits until one person more has judged it than the most have judged any of them: whoever has judged a pair is
    not asked about it again.

    Raises:
        NothingToDoError: If there is no such pair.
        LookupError: If no strategy has one of the names.
    """
    with open_database(settings) as sessions, sessions.begin() as session:
        quality = read_quality(session, run_id, settings, strategies=strategies, suspects=None)
        keys = labelling.pair_keys(session, run_id, strategies=strategies)
        outcomes = preferences.preferences_of(session, STANDING_RULE, keys)
        contradicted = [pair for pair, preference in outcomes.items() if preference.outcome == "contradiction"]
        pairs = list(dict.fromkeys([*(suspect.pair for suspect in quality.suspects), *contradicted]))
        if not pairs:
            advice = f"see: antipode quality --run {run_id}"
            raise NothingToDoError(
                f"no pair of run {run_id} is suspect or has votes that contradict each other; {advice}"
            )
        people = {one.id for one in judgements.annotators(session).values() if one.kind == "person"}
        given = {(one.pair, one.annotator_id) for one in judgements.judgements_on(session, pairs)}
        by_people = Counter(pair for pair, annotator_id in given if annotator_id in people)
        per_pair = 1 + max(by_people.values(), default=0)
        queue_id = queues.open_queue(session, name=name, pairs=pairs, judgements_per_pair=per_pair, seed=0)
        return SecondLook(queue_id, queues.get_queue(session, queue_id).name, len(pairs), per_pair)


def quality_of_run(run_id: int, *, strategies: Sequence[str], settings: Settings) -> LabelQuality:
    """Agreement, biases and suspects over the pairs of a run."""
    with open_database(settings) as sessions, sessions() as session:
        return read_quality(session, run_id, settings, strategies=strategies)


def read_quality(
    session: Session,
    run_id: int,
    settings: Settings,
    *,
    strategies: Sequence[str] = (),
    suspects: int | None = SUSPECTS,
) -> LabelQuality:
    """The same within a session, with so many suspects (None: all).

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
        suspect_count=len(pairs) if suspects is None else suspects,
        expected=expected_by_others(session, run_id, settings) if records else {},
    )
    rates = stored_pairs.strategy_rates(session, run_id) if records else []
    return replace(quality, rates=tuple(row for row in rates if not strategies or row.strategy in strategies))
