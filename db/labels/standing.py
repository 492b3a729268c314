"""What has a label already, for a selection that goes on from there. Sessions first, no commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import batches
from db.schema import curation, labels
from models.labelling.records import PairKey
from models.labelling.rules import STANDING_RULE

BATCH = 5_000


def pairs_with_preference(session: Session, response_ids: Iterable[int]) -> set[PairKey]:
    """The pairs whose first response is among these and that have a standing preference, whatever it says."""
    table = labels.Preference
    query = select(table.first_response_id, table.second_response_id).filter_by(rule=STANDING_RULE)
    found: set[PairKey] = set()
    for batch in batches(response_ids, BATCH):
        found |= {PairKey(*pair) for pair in session.execute(query.where(table.first_response_id.in_(batch)))}
    return found


def label_counts(session: Session, prompt_ids: Iterable[int], strategies: Sequence[str]) -> Counter[int]:
    """Of how many different pairs, selected in any run by one of these strategies, each prompt has a preference."""
    pair, preference = curation.Pair, labels.Preference
    query = (
        select(pair.prompt_id, pair.first_response_id, pair.second_response_id)
        .join(
            preference,
            (preference.rule == STANDING_RULE)
            & (preference.first_response_id == pair.first_response_id)
            & (preference.second_response_id == pair.second_response_id),
        )
        .where(pair.strategy.in_(strategies))
        .distinct()
    )
    counts: Counter[int] = Counter()
    for batch in batches(prompt_ids, BATCH):
        counts.update(prompt_id for prompt_id, *_ in session.execute(query.where(pair.prompt_id.in_(batch))))
    return counts
