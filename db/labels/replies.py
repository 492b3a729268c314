"""A judge's replies, kept by what was asked. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import batches, insert_new, row_of
from db.schema import labels
from models.judging.replies import StoredReply

LOOKUP_BATCH = 5_000


def find_replies(session: Session, keys: Sequence[str]) -> dict[str, StoredReply]:
    """The stored replies among these keys."""
    table = labels.Reply
    return {
        row.key: StoredReply(row.text, row.requests, row.input_tokens, row.output_tokens, row.cost, row.is_cut)
        for batch in batches(keys, LOOKUP_BATCH)
        for row in session.scalars(select(table).where(table.key.in_(batch)))
    }


def add_replies(session: Session, run_id: int, replies: Mapping[str, StoredReply]) -> int:
    """Store replies that a run has paid for; one whose key is there stays as it is."""
    rows = [{"key": key, "run_id": run_id, **row_of(reply)} for key, reply in replies.items()]
    return insert_new(session, labels.Reply, rows)
