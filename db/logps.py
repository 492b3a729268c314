"""Log-probabilities of responses under frozen models, computed once. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import batches, insert_new
from db.schema.policies import ResponseLogp
from models.alignment.records import ResponseLogps

LOOKUP_BATCH = 5_000


def find_logps(session: Session, keys: Sequence[str]) -> dict[str, ResponseLogps]:
    """What is stored under these keys; keys without anything are left out."""
    by_key: dict[str, ResponseLogps] = {}
    for batch in batches(keys, LOOKUP_BATCH):
        query = select(ResponseLogp.key, ResponseLogp.logps, ResponseLogp.token_count)
        for key, logps, token_count in session.execute(query.where(ResponseLogp.key.in_(batch))):
            by_key[key] = ResponseLogps(logps, token_count)
    return by_key


def add_logps(session: Session, logps: Mapping[str, ResponseLogps]) -> None:
    """Store log-probabilities by key; what is there stays as it is."""
    insert_new(session, ResponseLogp, [{"key": key, **scored._asdict()} for key, scored in logps.items()])
