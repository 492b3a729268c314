"""What data sets say of single responses, on one scale a prompt. Sessions first, no commit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import batches
from db.schema import curation

BATCH = 5_000


def scores_of(session: Session, response_ids: Sequence[int]) -> dict[int, float]:
    """Response id → its score, for those that can be compared with the others of their prompt.

    Scores of two sources are on two scales: of each prompt those of the source that scores most of its responses
    count, of equal ones the first imported. A yes or no about one response is no score.
    """
    response, row = curation.Response, curation.SourceResponse
    query = (
        select(response.prompt_id, response.id, response.score, row.source_id)
        .outerjoin(row, row.response_id == response.id)
        .where(response.score.is_not(None), response.is_desirable.is_(None))
        .distinct()
    )
    by_prompt: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for batch in batches(response_ids, BATCH):
        for prompt_id, id_, score, source_id in session.execute(query.where(response.id.in_(batch))).tuples():
            by_prompt[prompt_id][source_id or 0][id_] = float(score or 0.0)
    found: dict[int, float] = {}
    for by_source in by_prompt.values():
        counts = Counter({source_id: len(scores) for source_id, scores in by_source.items()})
        found |= by_source[min(counts, key=lambda source_id: (-counts[source_id], source_id))]
    return found
